"""The transformer of PixArt-alpha and PixArt-sigma: patches look at one another, then at the words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import Attention, FeedForward, hiding
from sfumato.networks.blocks import TimestepEmbedding
from sfumato.networks.config import divides, require
from sfumato.networks.patches import LARGEST, PatchConfig, PatchEmbed, patches, unpatched, without_variance
from sfumato.networks.transformer_blocks import WAVES, modulated, per_sample, waves


@dataclass(frozen=True)
class PixArtConfig(PatchConfig):
    """What a `PixArtTransformer` is made of, under the names of its `config.json`.

    `out_channels` are twice `in_channels` in models that also learned a variance; it is not given.
    `use_additional_conditions` says that the size of the picture is told; None is true for a `sample_size` of 128.
    `interpolation_scale` divides the places of patches; None takes sample_size // 64, and 1 at least.
    `caption_channels` None takes states of `cross_attention_dim` as they are.
    """

    out_channels: int | None = 8
    cross_attention_dim: int = 1152
    attention_bias: bool = True
    interpolation_scale: float | None = None
    use_additional_conditions: bool | None = None
    caption_channels: int | None = None

    # what groups, numbers of embeddings and upcasting would be, were there any
    ignored: ClassVar[frozenset[str]] = frozenset({"norm_num_groups", "num_embeds_ada_norm", "upcast_attention"})

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.stretch <= LARGEST, self, "interpolation_scale", why=f"must be above 0 and at most {LARGEST}")
        heads = ("num_attention_heads", "attention_head_dim")
        if self.tells_size:
            require(divides(3, self.width), self, *heads, why="their product must be a multiple of 3 to tell the size")
        if self.caption_channels is not None:
            fits = self.cross_attention_dim == self.width
            require(fits, self, "cross_attention_dim", *heads, why="the first must be the product of the others")

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Self:
        """Reads a parsed `config.json`, also one from before diffusers 0.29, where the class had a wider name."""
        if mapping.get("_class_name") == "Transformer2DModel" and mapping.get("norm_type") == "ada_norm_single":
            mapping = {**mapping, "_class_name": "PixArtTransformer2DModel"}
        return super().from_dict(mapping)

    @property
    def stretch(self) -> float:
        """By what the places of patches are divided."""
        given = self.interpolation_scale
        return max(self.sample_size // 64, 1) if given is None else given

    @property
    def tells_size(self) -> bool:
        """Whether the network is told the size of the picture."""
        given = self.use_additional_conditions
        return self.sample_size == 128 if given is None else given

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {
            "_class_name": "PixArtTransformer2DModel",
            "activation_fn": "gelu-approximate",
            "attention_type": "default",
            "dropout": 0.0,
            "norm_elementwise_affine": False,
            "norm_eps": 1e-6,
            "norm_type": "ada_norm_single",
        }


class PixArtTransformer(nn.Module):
    """A diffusion transformer with attention to words, whose blocks share one modulation (adaLN-single).

    Parameters carry the names of diffusers' `PixArtTransformer2DModel`.

    Source: Chen et al. 2023 (PixArt-alpha), section 2.3 and figure 4; Chen et al. 2024 (PixArt-sigma).
    """

    def __init__(self, config: PixArtConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.pos_embed = PatchEmbed(config, stretch=config.stretch)
        self.adaln_single = SharedModulation(width, tells_size=config.tells_size)
        self.caption_projection = None
        if config.caption_channels is not None:
            activation = partial(F.gelu, approximate="tanh")
            self.caption_projection = TimestepEmbedding(config.caption_channels, width, activation)
        self.transformer_blocks = nn.ModuleList(PixArtBlock(config) for _ in range(config.num_layers))
        self.scale_shift_table = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.proj_out = nn.Linear(width, config.token_channels)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        states: Float[Tensor, "b t d"],
        *,
        mask: Bool[Tensor, "b t"] | None = None,
        picture_size: Shaped[Tensor, "b 2"] | None = None,
    ) -> Float[Tensor, "b k h w"]:
        """Looks once.

        Args:
            sample: something noisy, whose edges `config.patch_size` divides.
            timestep: the level's label in [0, 1000], one for each sample or one for all.
            states: of the words, by T5.
            mask: which words to listen to; all by default.
            picture_size: height and width of the picture in pixels; needed where `config.tells_size`.

        Returns:
            The prediction, with the channels of the sample; a learned variance, which would follow it, is left out.

        Raises:
            ValueError: `picture_size` is missing, or the sample is of a size that cannot be.
        """
        size = patches(sample, self.config.patch_size)
        modulation, embedding = self.adaln_single(sample, timestep, picture_size)
        bias = None if mask is None else hiding(mask, sample.dtype)
        if self.caption_projection is not None:
            states = self.caption_projection(states)
        x = self.pos_embed(sample)
        for block in self.transformer_blocks:
            x = block(x, states, modulation, bias)
        shift, scale = (self.scale_shift_table + embedding[:, None]).chunk(2, dim=1)
        predicted = unpatched(self.proj_out(modulated(x, shift, scale)), size, self.config.patch_size)
        return without_variance(predicted, sample)


class SharedModulation(nn.Module):
    """What timestep, and size where it is told, ask of all blocks alike (Chen et al. 2023, section 2.3, adaLN-single).

    Args:
        width: channels of a token.
        tells_size: whether the size of the picture is told (Podell et al. 2023, section 2.2).
    """

    def __init__(self, width: int, *, tells_size: bool):
        super().__init__()
        self.emb = SizeEmbedding(width, tells_size=tells_size)
        self.linear = nn.Linear(width, 6 * width)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        picture_size: Shaped[Tensor, "b 2"] | None,
    ) -> tuple[Float[Tensor, "b 6 k"], Float[Tensor, "b k"]]:
        """Gives two shifts, scales and gates, and the embedding that they come from."""
        embedding = self.emb(sample, timestep, picture_size)
        return self.linear(F.silu(embedding)).unflatten(1, (6, -1)), embedding


class SizeEmbedding(nn.Module):
    """Sums up the timestep and, where they are told, height, width and their ratio."""

    def __init__(self, width: int, *, tells_size: bool):
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(WAVES, width)
        self.resolution_embedder = TimestepEmbedding(WAVES, width // 3) if tells_size else None
        self.aspect_ratio_embedder = TimestepEmbedding(WAVES, width // 3) if tells_size else None

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        picture_size: Shaped[Tensor, "b 2"] | None,
    ) -> Float[Tensor, "b e"]:
        """Gives the embedding; ValueError where the size is missing."""
        embedding = self.timestep_embedder(waves(per_sample(timestep, sample), sample))
        if self.resolution_embedder is None or self.aspect_ratio_embedder is None:
            return embedding
        if picture_size is None:
            raise ValueError("picture_size: this transformer needs the height and width of the pictures (b, 2)")
        edges = picture_size.to(sample.device, torch.float32)
        told = [self.resolution_embedder(waves(edges, sample)).flatten(1)]
        told += [self.aspect_ratio_embedder(waves(edges[:, 0] / edges[:, 1], sample))]
        return embedding + torch.cat(told, dim=1)


class PixArtBlock(nn.Module):
    """Patches look at one another, then at the words, then each thinks for itself (Chen et al. 2023, figure 4)."""

    def __init__(self, config: PixArtConfig):
        super().__init__()
        width, heads, head_width = config.width, config.num_attention_heads, config.attention_head_dim
        self.attn1 = Attention(width, heads, head_width, bias=config.attention_bias)
        self.attn2 = Attention(width, heads, head_width, config.cross_attention_dim, bias=config.attention_bias)
        self.ff = FeedForward(width, gated=False)
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(
        self,
        x: Float[Tensor, "b n c"],
        states: Float[Tensor, "b t d"],
        modulation: Float[Tensor, "b 6 c"],
        bias: Float[Tensor, "b 1 1 t"] | None = None,
    ) -> Float[Tensor, "b n c"]:
        """Keeps the shape."""
        shift, scale, gate, shift_ff, scale_ff, gate_ff = (self.scale_shift_table + modulation).chunk(6, dim=1)
        x = x + gate * self.attn1(modulated(x, shift, scale))
        x = x + self.attn2(x, states, bias)
        return x + gate_ff * self.ff(modulated(x, shift_ff, scale_ff))
