"""The transformer of FLUX.1: blocks for picture and text apart, then blocks for both as one (Labs 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import to_map, to_tokens
from sfumato.networks.config import Config, divides, require
from sfumato.networks.patches import Size, angles, patches
from sfumato.networks.transformer_blocks import (
    JointAttention,
    JointBlock,
    Modulation,
    Rotation,
    TimeTextEmbedding,
    modulated,
    within_half,
)

PATCH = 2  # the edge of what makes a token; the reference's pipeline cuts the latents, here the network does


@dataclass(frozen=True)
class FluxConfig(Config):
    """What a `FluxTransformer` is made of, under the names of its `config.json`.

    `in_channels` and `out_channels` are those of a token, four times those of a map. `axes_dims_rope` says how many
    channels of a head turn with the place of a token on each of three axes: none, row and column.
    """

    in_channels: int = 64
    out_channels: int | None = None
    num_layers: int = 19
    num_single_layers: int = 38
    attention_head_dim: int = 128
    num_attention_heads: int = 24
    joint_attention_dim: int = 4096
    pooled_projection_dim: int = 768
    guidance_embeds: bool = False
    axes_dims_rope: tuple[int, int, int] = (16, 56, 56)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("in_channels", "out_channels"):
            require(divides(PATCH**2, getattr(self, name) or 0), self, name, why=f"must be a multiple of {PATCH**2}")
        require(self.width > 0, self, "num_attention_heads", "attention_head_dim", why="must be above 0")
        fits = sum(self.axes_dims_rope) == self.attention_head_dim and divides(2, *self.axes_dims_rope)
        names = ("axes_dims_rope", "attention_head_dim")
        require(fits and min(self.axes_dims_rope) >= 0, self, *names, why="must be even, and the head is their sum")

    @property
    def width(self) -> int:
        """Channels of a token inside."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def sample_channels(self) -> int:
        """Channels of the map that it looks at."""
        return self.in_channels // PATCH**2

    @property
    def factor(self) -> int:
        """What must divide the edges of the sample."""
        return PATCH

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {"_class_name": "FluxTransformer2DModel", "patch_size": 1}


class FluxTransformer(nn.Module):
    """A transformer of double and single blocks with rotary positions, from maps to maps.

    Parameters carry the names of diffusers' `FluxTransformer2DModel`, which is given tokens and their places instead.

    Source: Labs 2024 (https://github.com/black-forest-labs/flux); Labs et al. 2025, section 2.
    """

    def __init__(self, config: FluxConfig):
        super().__init__()
        self.config = config
        width, heads = config.width, config.num_attention_heads
        self.time_text_embed = TimeTextEmbedding(config.pooled_projection_dim, width, guided=config.guidance_embeds)
        self.context_embedder = nn.Linear(config.joint_attention_dim, width)
        self.x_embedder = nn.Linear(config.in_channels, width)
        self.transformer_blocks = nn.ModuleList(JointBlock(width, heads) for _ in range(config.num_layers))
        self.single_transformer_blocks = nn.ModuleList(
            SingleBlock(width, heads) for _ in range(config.num_single_layers)
        )
        self.norm_out = Modulation(width, 2)
        self.proj_out = nn.Linear(width, config.out_channels or config.in_channels)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        states: Float[Tensor, "b t d"],
        *,
        pooled: Float[Tensor, "b p"] | None = None,
        guidance: Shaped[Tensor, "*b"] | float | None = None,
    ) -> Float[Tensor, "b k h w"]:
        """Looks once.

        Args:
            sample: something noisy, of even edges.
            timestep: the level's label in [0, 1000], one for each sample or one for all.
            states: of the words, by T5.
            pooled: the text as CLIP sums it up. Needed.
            guidance: the scale of guidance, 3.5 for example, one for each sample or one for all; needed where
                `config.guidance_embeds` says so.

        Raises:
            ValueError: `pooled` or `guidance` is missing, or an edge is odd.
        """
        size = patches(sample, PATCH)
        embedding = self.time_text_embed(sample, timestep, pooled, guidance)
        x, text = self.x_embedder(to_tokens(F.pixel_unshuffle(sample, PATCH))), self.context_embedder(states)
        words = text.shape[1]
        rotation = rotation_of(words, size, self.config.axes_dims_rope, sample.device)
        for block in self.transformer_blocks:
            x, text = block(x, text, embedding, rotation)
        both = torch.cat([text, x], dim=1)
        for block in self.single_transformer_blocks:
            both = block(both, embedding, rotation)
        scale, shift = self.norm_out(embedding)
        return F.pixel_shuffle(to_map(self.proj_out(modulated(both[:, words:], shift, scale)), size), PATCH)


def rotation_of(words: int, size: Size, widths: tuple[int, ...], device: torch.device | None = None) -> Rotation:
    """Gives the rotation of words, which all lie at (0, 0, 0), and of patches, which lie at (0, row, column).

    Args:
        words: how many.
        size: patches along the height and the width.
        widths: channels that turn with each of the three axes.
    """
    places = torch.cartesian_prod(*(torch.arange(n, device=device) for n in (1, *size)))
    places = F.pad(places, (0, 0, words, 0))  # s 3
    return Rotation.by(torch.cat([angles(axis, width) for axis, width in zip(places.T, widths, strict=True)], dim=1))


class SingleBlock(nn.Module):
    """Attention and feed-forward layers beside one another, on all tokens alike (Dehghani et al. 2023, section 2)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = Modulation(width, 3)
        self.proj_mlp = nn.Linear(width, 4 * width)
        self.proj_out = nn.Linear(5 * width, width)
        self.attn = JointAttention(width, heads, joint=False, projected=False)

    def forward(
        self, x: Float[Tensor, "b s c"], embedding: Float[Tensor, "b c"], rotation: Rotation
    ) -> Float[Tensor, "b s c"]:
        """Keeps the shape."""
        shift, scale, gate = self.norm(embedding)
        inner = modulated(x, shift, scale)
        mixed, _ = self.attn(inner, rotation=rotation)
        thought = F.gelu(self.proj_mlp(inner), approximate="tanh")
        return within_half(x + gate * self.proj_out(torch.cat([mixed, thought], dim=-1)))
