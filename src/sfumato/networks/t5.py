"""The encoder of T5, which Stable Diffusion 3, FLUX and PixArt read prompts with; transformers computes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sfumato.errors import CheckpointError
from sfumato.networks.config import Config, require

MOST = 1_000_000  # of any one number in a configuration


@dataclass(frozen=True)
class T5Config(Config):
    """What a `T5` is made of, under the names of its `config.json`."""

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "relu"

    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "bos_token_id", "classifier_dropout", "decoder_start_token_id", "dense_act_fn", "dropout_rate", "dtype",
            "eos_token_id", "initializer_factor", "is_decoder", "is_encoder_decoder", "is_gated_act", "n_positions",
            "num_decoder_layers", "output_past", "pad_token_id", "task_specific_params", "tie_word_embeddings",
            "torch_dtype", "transformers_version", "use_cache",
        }
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads"):
            require(0 < getattr(self, name) <= MOST, self, name, why=f"must be from 1 to {MOST}")
        require(0 < self.layer_norm_epsilon < 1, self, "layer_norm_epsilon", why="must be above 0 and below 1")
        known = self.feed_forward_proj in ("relu", "gated-gelu")
        require(known, self, "feed_forward_proj", why="must be relu or gated-gelu")

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {"architectures": ["T5EncoderModel"], "model_type": "t5", "scale_decoder_outputs": True}


class T5(nn.Module):
    """The encoder half of T5 (Raffel et al. 2020, section 2.1); parameters carry the names of `T5EncoderModel`.

    Attributes:
        overflowing: layers whose sums are too large for float16; transformers computes them in float32.
    """

    overflowing = ("wo",)

    def __init__(self, config: T5Config):
        """Raises CheckpointError when transformers is not installed."""
        super().__init__()
        try:
            from transformers import T5Config as TheirConfig
            from transformers import T5EncoderModel
        except ImportError:
            raise CheckpointError("This model reads prompts with T5: pip install 'sfumato[t5]'") from None
        self.config = config
        theirs = T5EncoderModel(TheirConfig(**asdict(config)))
        self.shared, self.encoder = theirs.shared, theirs.encoder
        self.encoder.embed_tokens = self.shared
        self.register_load_state_dict_pre_hook(_tie)

    def forward(self, ids: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        """Gives a state for each token; tokens outside the mask are not looked at."""
        return self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state


def _tie(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Files hold the one table of words once, under either of its names."""
    names = (f"{prefix}shared.weight", f"{prefix}encoder.embed_tokens.weight")
    table = next((state[name] for name in names if name in state), None)
    if table is not None:
        state.update(dict.fromkeys(names, table))
