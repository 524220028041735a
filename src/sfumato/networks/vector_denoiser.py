"""A denoiser of vectors: residual layers that a noise level and a condition shift and scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.blocks import TimestepEmbedding, sinusoids
from sfumato.networks.config import Config, require

WAVES = 256  # channels that describe a noise level


@dataclass(frozen=True)
class VectorDenoiserConfig(Config):
    """What a `VectorDenoiser` is made of: lengths of the vectors and of their condition, width, number of layers."""

    vector_dim: int = 512
    condition_dim: int = 512
    hidden_size: int = 512
    num_hidden_layers: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vector_dim", "condition_dim", "hidden_size"):
            require(getattr(self, name) > 0, self, name, why="must be above 0")

    def fixed(self) -> dict[str, Any]:
        """Gives the mark by which the file is known."""
        return {"_class_name": "VectorDenoiser"}


class VectorDenoiser(nn.Module):
    """A residual network over vectors, as RCG's generator of representations is one (Li et al. 2023, section 3).

    The level and the condition enter by adaptive normalisation with gates (Peebles & Xie 2023, adaLN-Zero). It takes
    the place of the transformer in DALL-E 2's diffusion prior (Ramesh et al. 2022, section 2.2).
    """

    def __init__(self, config: VectorDenoiserConfig):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.time_embedding = TimestepEmbedding(WAVES, width)
        self.condition_embedding = TimestepEmbedding(config.condition_dim, width)
        self.proj_in = nn.Linear(config.vector_dim, width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(config.num_hidden_layers))
        self.norm_out = _AdaptiveNorm(width, 2)
        self.proj_out = nn.Linear(width, config.vector_dim)

    def forward(
        self, x: Float[Tensor, "b d"], timestep: Float[Tensor, " b"], condition: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b d"]:
        """Gives the prediction for noisy vectors; timesteps lie in about [0, 1000]."""
        told = self.time_embedding(sinusoids(timestep, WAVES).to(x)) + self.condition_embedding(condition)
        told = F.silu(told)
        x = self.proj_in(x)
        for layer in self.layers:
            x = layer(x, told)
        x, _ = self.norm_out(x, told)
        return self.proj_out(x)


class _AdaptiveNorm(nn.Module):
    """A normalisation whose scale and shift, and gates for what follows, come from an embedding."""

    def __init__(self, width: int, parts: int):
        super().__init__()
        self.parts = parts
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.linear = nn.Linear(width, parts * width)

    def forward(self, x: Float[Tensor, "b w"], told: Float[Tensor, "b w"]) -> tuple[Tensor, tuple[Tensor, ...]]:
        scale, shift, *gates = self.linear(told).chunk(self.parts, dim=1)
        return self.norm(x) * (1 + scale) + shift, tuple(gates)


class _Layer(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = _AdaptiveNorm(width, 3)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x: Float[Tensor, "b w"], told: Float[Tensor, "b w"]) -> Float[Tensor, "b w"]:
        inner, (gate,) = self.norm(x, told)
        return x + gate * self.fc2(F.silu(self.fc1(inner)))
