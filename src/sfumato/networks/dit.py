"""The plain diffusion transformer, told a class: patches look at one another (Peebles & Xie 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import Attention, FeedForward
from sfumato.networks.blocks import TimestepEmbedding
from sfumato.networks.config import require
from sfumato.networks.patches import PatchConfig, PatchEmbed, patches, unpatched, without_variance
from sfumato.networks.transformer_blocks import WAVES, Modulation, modulated, per_sample, waves


@dataclass(frozen=True)
class DiTConfig(PatchConfig):
    """What a `DiT` is made of, under the names of its `config.json`.

    `num_embeds_ada_norm` is the number of classes; one more stands for none. `out_channels` are twice `in_channels`
    in models that also learned a variance; it is not given.
    """

    attention_bias: bool = True
    sample_size: int = 32
    num_embeds_ada_norm: int = 1000
    norm_eps: float = 1e-5

    # what groups and upcasting would be, were there any
    ignored: ClassVar[frozenset[str]] = frozenset({"norm_num_groups", "upcast_attention"})

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.num_embeds_ada_norm > 0, self, "num_embeds_ada_norm", why="at least one class is needed")

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Self:
        """Reads a parsed `config.json`, also one from before diffusers 0.29, where the class had a wider name."""
        if mapping.get("_class_name") == "Transformer2DModel" and mapping.get("norm_type") == "ada_norm_zero":
            mapping = {**mapping, "_class_name": "DiTTransformer2DModel"}
        return super().from_dict(mapping)

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {
            "_class_name": "DiTTransformer2DModel",
            "activation_fn": "gelu-approximate",
            "dropout": 0.0,
            "norm_elementwise_affine": False,
            "norm_type": "ada_norm_zero",
        }


class DiT(nn.Module):
    """A diffusion transformer with adaLN-Zero (Peebles & Xie 2023, section 3.2 and figure 3).

    Parameters carry the names of diffusers' `DiTTransformer2DModel`.
    """

    def __init__(self, config: DiTConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.pos_embed = PatchEmbed(config)
        self.transformer_blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.num_layers))
        self.proj_out_1 = nn.Linear(width, 2 * width)
        self.proj_out_2 = nn.Linear(width, config.token_channels)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        *,
        class_labels: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Looks once.

        Args:
            sample: something noisy, whose edges `config.patch_size` divides.
            timestep: the level's label in [0, 1000], one for each sample or one for all.
            class_labels: numbers of classes; `config.num_embeds_ada_norm` stands for none. Needed.

        Returns:
            The prediction; a learned variance, which would follow it, is left out.

        Raises:
            ValueError: `class_labels` are missing, or the sample is of a size that cannot be.
        """
        if class_labels is None:
            raise ValueError("class_labels: this transformer is conditioned on classes and needs them")
        size = patches(sample, self.config.patch_size)
        described = waves(per_sample(timestep, sample), sample, shift=1.0)
        x = self.pos_embed(sample)
        for block in self.transformer_blocks:
            x = block(x, described, class_labels)
        first = self.transformer_blocks[0]
        assert isinstance(first, DiTBlock)
        embedding = first.norm1.emb(described, class_labels)
        shift, scale = self.proj_out_1(F.silu(embedding))[:, None].chunk(2, dim=-1)
        predicted = unpatched(self.proj_out_2(modulated(x, shift, scale)), size, self.config.patch_size)
        return without_variance(predicted, sample)


class ClassModulation(Modulation):
    """A modulation with the embedding of timestep and class that it listens to; each block has its own."""

    def __init__(self, width: int, parts: int, classes: int):
        super().__init__(width, parts)
        self.emb = TimeClassEmbedding(width, classes)


class TimeClassEmbedding(nn.Module):
    """Sums up the timestep and the class."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(WAVES, width)
        self.class_embedder = nn.ModuleDict({"embedding_table": nn.Embedding(classes + 1, width)})

    def forward(self, described: Float[Tensor, "b c"], class_labels: Int[Tensor, " b"]) -> Float[Tensor, "b e"]:
        """Gives the embedding for timesteps described by waves."""
        return self.timestep_embedder(described) + self.class_embedder["embedding_table"](class_labels)


class DiTBlock(nn.Module):
    """Patches look at one another, then each thinks for itself."""

    def __init__(self, config: DiTConfig):
        super().__init__()
        width = config.width
        self.eps = config.norm_eps
        self.norm1 = ClassModulation(width, 6, config.num_embeds_ada_norm)
        self.attn1 = Attention(width, config.num_attention_heads, config.attention_head_dim, bias=config.attention_bias)
        self.ff = FeedForward(width, gated=False)

    def forward(
        self, x: Float[Tensor, "b n c"], described: Float[Tensor, "b e"], class_labels: Int[Tensor, " b"]
    ) -> Float[Tensor, "b n c"]:
        """Keeps the shape; the timesteps come described by waves."""
        shift, scale, gate, shift_ff, scale_ff, gate_ff = self.norm1(self.norm1.emb(described, class_labels))
        x = x + gate * self.attn1(modulated(x, shift, scale))
        return x + gate_ff * self.ff(modulated(x, shift_ff, scale_ff, self.eps))
