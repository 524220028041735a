"""GPT-2: learned positions, LayerNorm, GELU; parameters carry the names of transformers' `GPT2LMHeadModel`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sfumato.networks.config import MOST_LAYERS, Config, divides, require
from sfumato.networks.gpt import GPT, Block, Place, scored

GELU_TANH = partial(F.gelu, approximate="tanh")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": GELU_TANH,
    "gelu_pytorch_tanh": GELU_TANH,
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
}
BUFFERS = (".attn.bias", ".attn.masked_bias")  # older files hold what is hidden from whom


@dataclass(frozen=True)
class GPT2Config(Config):
    """What a `GPT2` is made of, under the names of its `config.json`."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    tie_word_embeddings: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | tuple[int, ...] | None = 50256
    pad_token_id: int | None = None

    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "attn_pdrop", "dtype", "embd_pdrop", "gradient_checkpointing", "initializer_range", "n_ctx",
            "output_past", "reorder_and_upcast_attn", "resid_pdrop", "summary_activation", "summary_first_dropout",
            "summary_proj_to_labels", "summary_type", "summary_use_proj", "task_specific_params", "torch_dtype",
            "transformers_version", "use_cache",
        }
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vocab_size", "n_positions", "n_layer"):
            require(getattr(self, name) > 0, self, name, why="must be positive")
        require(self.n_layer <= MOST_LAYERS, self, "n_layer", why="is more than any network has")
        require(divides(self.n_head, self.n_embd), self, "n_embd", "n_head", why="the heads must divide the width")
        require(self.n_inner is None or self.n_inner > 0, self, "n_inner", why="must be positive")
        known = self.activation_function in ACTIVATIONS
        require(known, self, "activation_function", why=f"must be one of {sorted(ACTIVATIONS)}")

    @property
    def width(self) -> int:
        """Numbers in the state of a token."""
        return self.n_embd

    @property
    def layers(self) -> int:
        """Blocks, one after the other."""
        return self.n_layer

    @property
    def positions(self) -> int:
        """Tokens of the longest text."""
        return self.n_positions

    @property
    def key_heads(self) -> int:
        """Heads that have keys and values: all."""
        return self.n_head

    @property
    def head_width(self) -> int:
        """Numbers in a key."""
        return self.n_embd // self.n_head

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "add_cross_attention": False,
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
        }


class GPT2(GPT):
    """Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3.

    A state dict without the prefix `transformer.`, as a bare `GPT2Model` saves it, loads as well.
    """

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.config: GPT2Config = config
        self.transformer = _Transformer(config)
        tied = config.tie_word_embeddings
        self.lm_head = None if tied else nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.register_load_state_dict_pre_hook(_accept_older_names)

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks, one after the other."""
        return cast(Sequence[Block], self.transformer.h)

    def embed(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Gives each token its vector, without its position."""
        return self.transformer.wte(ids)

    def placed(self, x: Float[Tensor, "b n d"], place: Place) -> tuple[Float[Tensor, "b n d"], Place]:
        """Adds the learned vector of each position."""
        return x + self.transformer.wpe(place.positions), place

    def logits(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n v"]:
        """Scores the next token by the table of tokens, or by one of its own where that is not tied."""
        head = self.transformer.wte if self.lm_head is None else self.lm_head
        return scored(self.transformer.ln_f(x), head.weight)


class _Transformer(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(_Block(config, number) for number in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)


class _Block(nn.Module):
    def __init__(self, config: GPT2Config, number: int):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = _Attention(config, number)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = _MLP(config)

    def look(self, x: Float[Tensor, "b n d"], place: Place) -> Float[Tensor, "b n d"]:
        return self.attn(self.ln_1(x), place)

    def think(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.mlp(self.ln_2(x))


class _Attention(nn.Module):
    def __init__(self, config: GPT2Config, number: int):
        super().__init__()
        self.number, self.heads = number, config.n_head
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)

    def forward(self, x: Float[Tensor, "b n d"], place: Place) -> Float[Tensor, "b n d"]:
        b, n, d = x.shape
        qkv = self.c_attn(x).view(b, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # b heads n c
        return self.c_proj(place.looked(q, k, v, self.number).transpose(1, 2).reshape(b, n, d))


class _MLP(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        inner = 4 * config.n_embd if config.n_inner is None else config.n_inner
        self.activation = ACTIVATIONS[config.activation_function]
        self.c_fc = Conv1D(config.n_embd, inner)
        self.c_proj = Conv1D(inner, config.n_embd)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.c_proj(self.activation(self.c_fc(x)))


class Conv1D(nn.Module):
    """A linear layer whose weight lies as (in, out), as TensorFlow kept it."""

    def __init__(self, width: int, out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, out) * 0.02)
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Float[Tensor, "*s d"]) -> Float[Tensor, "*s e"]:
        """Gives x W + b."""
        return F.linear(x, self.weight.t(), self.bias)


def _accept_older_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        if name.endswith(BUFFERS):
            del state[key]
        elif name.split(".")[0] in ("wte", "wpe", "h", "ln_f"):
            state[f"{prefix}transformer.{name}"] = state.pop(key)
    if module.lm_head is None:  # tied: one table under either of its names
        head = state.pop(f"{prefix}lm_head.weight", None)
        if head is not None:
            state.setdefault(f"{prefix}transformer.wte.weight", head)
