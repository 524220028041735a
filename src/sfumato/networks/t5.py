"""The encoder of T5, which Stable Diffusion 3, FLUX and PixArt read prompts with; transformers computes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sfumato.errors import CheckpointError
from sfumato.networks.config import MOST_LAYERS

WIDEST = 65_536  # of any one number in a configuration
VOCABULARY = 1_000_000


class T5Config:
    """The reference's own `config.json` of a `T5EncoderModel`, checked."""

    def __init__(self, values: Mapping[str, Any]):
        self.values = dict(values)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Self:
        """Reads a parsed `config.json`; CheckpointError when it is not that of a T5 of sane size."""
        if mapping.get("model_type") not in ("t5", "umt5"):
            raise CheckpointError(
                f"T5Config: model_type={mapping.get('model_type')!r:.100} is not supported, only 't5'"
            )
        for key, most in (("num_layers", MOST_LAYERS), ("vocab_size", VOCABULARY)):
            if not isinstance(mapping.get(key, 1), int) or not 0 < mapping.get(key, 1) <= most:
                raise CheckpointError(f"T5Config: {key}={mapping[key]!r:.100} should be from 1 to {most}")
        for key in ("d_model", "d_kv", "d_ff", "num_heads", "relative_attention_num_buckets"):
            if not isinstance(mapping.get(key, 1), int) or not 0 < mapping.get(key, 1) <= WIDEST:
                raise CheckpointError(f"T5Config: {key}={mapping[key]!r:.100} should be from 1 to {WIDEST}")
        return cls(mapping)

    def to_dict(self) -> dict[str, Any]:
        """Gives the complete `config.json`."""
        return dict(self.values)


class T5(nn.Module):
    """The encoder half of T5 (Raffel et al. 2020, section 2.1); parameters carry the names of `T5EncoderModel`."""

    def __init__(self, config: T5Config):
        """Raises CheckpointError when transformers is not installed."""
        super().__init__()
        try:
            from transformers import T5Config as TheirConfig
            from transformers import T5EncoderModel
        except ImportError:
            raise CheckpointError("This model reads prompts with T5: pip install 'sfumato[t5]'") from None
        self.config = config
        theirs = T5EncoderModel(TheirConfig(**config.values))
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
