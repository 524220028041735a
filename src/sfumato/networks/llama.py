"""Llama: rotary positions, RMSNorm, SwiGLU, grouped heads; parameters carry the names of `LlamaForCausalLM`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sfumato.errors import CheckpointError
from sfumato.networks.config import MOST_LAYERS, Config, divides, require
from sfumato.networks.gpt import GPT, Block, Place, scored
from sfumato.networks.gpt2 import ACTIVATIONS
from sfumato.networks.rotary import Rotary, rotated

ROTARY = ("rope_parameters", "rope_theta", "rope_scaling", "partial_rotary_factor")  # in a file


@dataclass(frozen=True)
class LlamaConfig(Config):
    """What a `Llama` is made of, under the names of its `config.json`; `rotary` stands there in several keys."""

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    mlp_bias: bool = False
    tie_word_embeddings: bool = False
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    pad_token_id: int | None = None
    rotary: Rotary = field(default_factory=Rotary)

    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "attention_dropout", "dtype", "initializer_range", "pretraining_tp", "torch_dtype",
            "transformers_version", "use_cache", *ROTARY,
        }
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vocab_size", "intermediate_size", "num_hidden_layers", "max_position_embeddings"):
            require(getattr(self, name) > 0, self, name, why="must be positive")
        require(self.num_hidden_layers <= MOST_LAYERS, self, "num_hidden_layers", why="is more than any network has")
        heads, groups = "num_attention_heads", "num_key_value_heads"
        fits = self.num_attention_heads > 0 and (self.head_dim or divides(self.num_attention_heads, self.hidden_size))
        require(bool(fits), self, "hidden_size", heads, why="the heads must divide the width")
        require(divides(self.key_heads, self.num_attention_heads), self, heads, groups, why="must be whole groups")
        require(divides(2, self.head_width) and self.head_width > 0, self, "head_dim", why="a head must be of pairs")
        require(self.hidden_act in ACTIVATIONS, self, "hidden_act", why=f"must be one of {sorted(ACTIVATIONS)}")

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Self:
        """Reads a parsed `config.json`; raises CheckpointError naming what is not supported."""
        if "rotary" in mapping:
            raise CheckpointError(f"{cls.__name__}: rotary={mapping['rotary']!r:.100} is not known here")
        config = super().from_dict(mapping)
        try:
            return replace(config, rotary=Rotary.read(mapping, config.positions))
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{cls.__name__}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Gives the complete `config.json`, which transformers opens too."""
        told = super().to_dict() | self.rotary.written()
        del told["rotary"]
        return dict(sorted(told.items()))

    @property
    def width(self) -> int:
        """Numbers in the state of a token."""
        return self.hidden_size

    @property
    def layers(self) -> int:
        """Blocks, one after the other."""
        return self.num_hidden_layers

    @property
    def positions(self) -> int:
        """Tokens of the longest text."""
        return self.max_position_embeddings

    @property
    def key_heads(self) -> int:
        """Heads that have keys and values; several queries share one where they are fewer."""
        return self.num_attention_heads if self.num_key_value_heads is None else self.num_key_value_heads

    @property
    def head_width(self) -> int:
        """Numbers in a key."""
        return self.hidden_size // self.num_attention_heads if self.head_dim is None else self.head_dim

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


class Llama(GPT):
    """Touvron et al. 2023, "LLaMA: Open and efficient foundation language models", section 2.2.

    A state dict without the prefix `model.`, as a bare `LlamaModel` saves it, loads as well.
    """

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config: LlamaConfig = config
        self.model = _Model(config)
        tied = config.tie_word_embeddings
        self.lm_head = None if tied else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.register_load_state_dict_pre_hook(_accept_older_names)

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks, one after the other."""
        return cast(Sequence[Block], self.model.layers)

    def embed(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Gives each token its vector."""
        return self.model.embed_tokens(ids)

    def placed(self, x: Float[Tensor, "b n d"], place: Place) -> tuple[Float[Tensor, "b n d"], Place]:
        """Leaves the vectors as they are: queries and keys are turned instead."""
        rotary, width, cache = self.config.rotary, self.config.head_width, place.cache
        if cache is None:
            cos, sin = rotary.rotation(place.positions, width)
        else:
            if cache.rotation is None:
                cache.rotation = rotary.rotation(torch.arange(cache.capacity, device=x.device), width)
            here = slice(cache.length, cache.length + x.shape[1]) if place.positions.ndim == 1 else place.positions
            cos, sin = (table[here] for table in cache.rotation)
        return x, replace(place, rotation=(cos.unsqueeze(-2), sin.unsqueeze(-2)))  # the same for all heads

    def logits(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n v"]:
        """Scores the next token by a table of its own, or by that of the tokens where it is tied."""
        head = self.model.embed_tokens if self.lm_head is None else self.lm_head
        return scored(self.model.norm(x), head.weight)


class _Model(nn.Module):
    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Block(config, number) for number in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class _Block(nn.Module):
    def __init__(self, config: LlamaConfig, number: int):
        super().__init__()
        self.self_attn = _Attention(config, number)
        self.mlp = _MLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def look(self, x: Float[Tensor, "b n d"], place: Place) -> Float[Tensor, "b n d"]:
        return self.self_attn(self.input_layernorm(x), place)

    def think(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.mlp(self.post_attention_layernorm(x))


class _Attention(nn.Module):
    def __init__(self, config: LlamaConfig, number: int):
        super().__init__()
        self.number, self.head_width = number, config.head_width
        width, bias = config.hidden_size, config.attention_bias
        inner, shared = (heads * config.head_width for heads in (config.num_attention_heads, config.key_heads))
        self.q_proj = nn.Linear(width, inner, bias=bias)
        self.k_proj, self.v_proj = (nn.Linear(width, shared, bias=bias) for _ in range(2))
        self.o_proj = nn.Linear(inner, width, bias=bias)

    def forward(self, x: Float[Tensor, "b n d"], place: Place) -> Float[Tensor, "b n d"]:
        assert place.rotation is not None
        b, n, _ = x.shape
        q, k, v = (layer(x).view(b, n, -1, self.head_width) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotated(q, *place.rotation), rotated(k, *place.rotation)
        mixed = place.looked(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), self.number)
        return self.o_proj(mixed.transpose(1, 2).reshape(b, n, -1))


class _MLP(nn.Module):
    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.activation = ACTIVATIONS[config.hidden_act]
        sizes, bias = (config.hidden_size, config.intermediate_size), config.mlp_bias
        self.gate_proj, self.up_proj = (nn.Linear(*sizes, bias=bias) for _ in range(2))
        self.down_proj = nn.Linear(*sizes[::-1], bias=bias)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Gives SwiGLU (Shazeer 2020, equation 6)."""
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))


def _accept_older_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        if name.endswith("rotary_emb.inv_freq"):  # which the configuration tells
            del state[key]
        elif name.split(".")[0] in ("embed_tokens", "layers", "norm"):
            state[f"{prefix}model.{name}"] = state.pop(key)
    if module.lm_head is None:  # tied: one table under either of its names
        head = state.pop(f"{prefix}lm_head.weight", None)
        if head is not None:
            state.setdefault(f"{prefix}model.embed_tokens.weight", head)
