"""The transformer of Stable Diffusion 3 and 3.5: patches and words look at one another (Esser et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sfumato.networks.config import require
from sfumato.networks.patches import LARGEST, PatchConfig, PatchEmbed, patches, unpatched
from sfumato.networks.transformer_blocks import JointBlock, Modulation, TimeTextEmbedding, modulated


@dataclass(frozen=True)
class SD3Config(PatchConfig):
    """What an `SD3Transformer` is made of, under the names of its `config.json`.

    `pos_embed_max_size` is the edge of the largest map, in patches. `dual_attention_layers` are the numbers of the
    blocks in which the patches also look at one another alone.
    """

    num_attention_heads: int = 18
    attention_head_dim: int = 64
    in_channels: int = 16
    out_channels: int | None = 16
    num_layers: int = 18
    joint_attention_dim: int = 4096
    caption_projection_dim: int = 1152
    pooled_projection_dim: int = 2048
    pos_embed_max_size: int = 96
    dual_attention_layers: tuple[int, ...] = ()
    qk_norm: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        right = 0 < self.pos_embed_max_size <= LARGEST
        require(right, self, "pos_embed_max_size", why=f"must be above 0 and at most {LARGEST}")
        names = ("caption_projection_dim", "num_attention_heads", "attention_head_dim")
        fits = self.caption_projection_dim == self.width
        require(fits, self, *names, why="the first must be the product of the others")
        require(self.qk_norm in (None, "rms_norm"), self, "qk_norm", why="must be rms_norm or null")

    def fixed(self) -> dict[str, Any]:
        """Gives the mark by which the file is known."""
        return {"_class_name": "SD3Transformer2DModel"}


class SD3Transformer(nn.Module):
    """A multimodal diffusion transformer (Esser et al. 2024, section 4 and figure 2).

    Parameters carry the names of diffusers' `SD3Transformer2DModel`.
    """

    def __init__(self, config: SD3Config):
        super().__init__()
        self.config = config
        width = config.width
        self.pos_embed = PatchEmbed(config, largest=config.pos_embed_max_size)
        self.time_text_embed = TimeTextEmbedding(config.pooled_projection_dim, width)
        self.context_embedder = nn.Linear(config.joint_attention_dim, width)
        self.transformer_blocks = nn.ModuleList(
            JointBlock(
                width,
                config.num_attention_heads,
                normed=config.qk_norm is not None,
                dual=number in config.dual_attention_layers,
                last=number == config.num_layers - 1,
            )
            for number in range(config.num_layers)
        )
        self.norm_out = Modulation(width, 2)
        self.proj_out = nn.Linear(width, config.token_channels)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        states: Float[Tensor, "b t d"],
        *,
        pooled: Float[Tensor, "b p"] | None = None,
    ) -> Float[Tensor, "b k h w"]:
        """Looks once.

        Args:
            sample: something noisy, whose edges `config.patch_size` divides.
            timestep: the level's label in [0, 1000], one for each sample or one for all.
            states: of the words: those of both CLIPs beside one another, filled up with zeros, then those of T5.
            pooled: the projected texts of both CLIPs, beside one another. Needed.

        Raises:
            ValueError: `pooled` is missing, or the sample is of a size that cannot be.
        """
        size = patches(sample, self.config.patch_size)
        embedding = self.time_text_embed(sample, timestep, pooled)
        x, text = self.pos_embed(sample), self.context_embedder(states)
        for block in self.transformer_blocks:
            x, text = block(x, text, embedding)
        scale, shift = self.norm_out(embedding)
        return unpatched(self.proj_out(modulated(x, shift, scale)), size, self.config.patch_size)
