"""The U-Net of Stable Diffusion's x2 latent upscaler, as k-diffusion builds them.

It is told its noise level by random waves and by adaptive normalisations throughout; its middle is the coarsest
resolution's own. Crowson 2022, "k-diffusion"; Karras et al. 2022 for the preconditioning around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import hiding
from sfumato.networks.blocks import TimestepEmbedding
from sfumato.networks.config import Config, require
from sfumato.networks.k_blocks import GROUP, KAttention, KBlock, KResnet, RandomWaves, doubled, halved

DOWN = ("KDownBlock2D", "KCrossAttnDownBlock2D")
UP = ("KUpBlock2D", "KCrossAttnUpBlock2D")


@dataclass(frozen=True)
class KUNetConfig(Config):
    """What a `KUNet` is made of, under the names of its `config.json`.

    Types and channels are the published ones where a file does not tell. `attention_head_dim` is, for once, how wide a
    head is. `time_cond_proj_dim` is the width of the vector that it is told besides its noise level.
    """

    sample_size: int | tuple[int, int] | None = None
    in_channels: int = 4
    out_channels: int = 4
    flip_sin_to_cos: bool = True
    down_block_types: tuple[str, ...] = ("KDownBlock2D",) + ("KCrossAttnDownBlock2D",) * 3
    up_block_types: tuple[str, ...] = ("KCrossAttnUpBlock2D",) * 3 + ("KUpBlock2D",)
    block_out_channels: tuple[int, ...] = (384, 384, 768, 768)
    layers_per_block: int = 2
    norm_eps: float = 1e-5
    cross_attention_dim: int = 1280
    attention_head_dim: int = 8
    time_cond_proj_dim: int | None = None
    conv_in_kernel: int = 3
    conv_out_kernel: int = 3

    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "addition_embed_type_num_heads",
            "cross_attention_norm",
            "downsample_padding",
            "freq_shift",
            "mid_block_scale_factor",
            "resnet_out_scale_factor",
            "resnet_time_scale_shift",
            "transformer_layers_per_block",
            "upcast_attention",
            "use_linear_projection",
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        channels, blocks = self.block_out_channels, len(self.block_out_channels)
        for name, known in (("down_block_types", DOWN), ("up_block_types", UP)):
            right = len(getattr(self, name)) == blocks and set(getattr(self, name)) <= set(known)
            require(right, self, name, why=f"must be {blocks} of {', '.join(known)}")
        whole = blocks > 1 and all(width > 0 and width % GROUP == 0 for width in channels)
        require(whole, self, "block_out_channels", why=f"must be multiples of {GROUP}, two at least")
        fits = channels[-1] == channels[-2] == 2 * channels[0] and channels[-1] not in channels[:-2]
        require(fits, self, "block_out_channels", why="the last two alone must be twice as wide as the first")
        coarsest = self.down_block_types[-1] == DOWN[1] and self.up_block_types[0] == UP[1]
        require(coarsest, self, "down_block_types", "up_block_types", why="the coarsest must have attention")
        plain = UP[0] not in self.up_block_types[:-1]
        require(plain, self, "up_block_types", why="only the finest may have no attention")
        require(self.layers_per_block > 0, self, "layers_per_block", why="must be above 0")
        fits = 0 < self.attention_head_dim <= min(channels)
        require(fits, self, "attention_head_dim", why="must be at most as wide as the channels")
        for name in ("conv_in_kernel", "conv_out_kernel"):
            require(getattr(self, name) in (1, 3), self, name, why="must be 1 or 3")

    @property
    def factor(self) -> int:
        """How many times smaller than the sample the coarsest feature map is, along each edge."""
        return 2 ** (len(self.block_out_channels) - 1)

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {
            "_class_name": "UNet2DConditionModel",
            "act_fn": "gelu",
            "addition_embed_type": None,
            "attention_type": "default",
            "center_input_sample": False,
            "class_embed_type": None,
            "class_embeddings_concat": False,
            "dropout": 0.0,
            "dual_cross_attention": False,
            "encoder_hid_dim": None,
            "mid_block_type": None,
            "norm_num_groups": None,
            "num_class_embeds": None,
            "only_cross_attention": False,
            "resnet_skip_time_act": False,
            "time_embedding_act_fn": None,
            "time_embedding_dim": None,
            "time_embedding_type": "fourier",
            "timestep_post_act": "gelu",
        }


class KUNet(nn.Module):
    """A U-Net with adaptive normalisations; parameters carry the names of diffusers' `UNet2DConditionModel`."""

    def __init__(self, config: KUNetConfig):
        super().__init__()
        self.config = config
        channels, layers = config.block_out_channels, config.layers_per_block
        levels, width = range(len(channels)), 2 * channels[0]

        def resnet(inputs: int, inner: int, outputs: int) -> KResnet:
            return KResnet(inputs, inner, outputs, width=width, eps=config.norm_eps)

        def attention(here: int, level: int) -> KAttention:
            coarsest, words = level == levels[-1], config.cross_attention_dim
            return KAttention(here, config.attention_head_dim, words, width=width, looks_around=coarsest)

        kernel = config.conv_in_kernel
        self.conv_in = nn.Conv2d(config.in_channels, channels[0], kernel, padding=kernel // 2)
        self.time_proj = RandomWaves(width // 2, cosine_first=config.flip_sin_to_cos)
        self.time_embedding = TimestepEmbedding(width, width, F.gelu, condition_width=config.time_cond_proj_dim)

        self.down_blocks = nn.ModuleList()
        before = channels[0]
        for level, block_type in zip(levels, config.down_block_types, strict=True):
            here = channels[level]
            resnets = [resnet(before if i == 0 else here, here, here) for i in range(layers)]
            attends = layers if block_type == DOWN[1] else 0
            self.down_blocks.append(KBlock(resnets, [attention(here, level) for _ in range(attends)]))
            before = here

        self.up_blocks = nn.ModuleList()
        for level, block_type in zip(reversed(levels), config.up_block_types, strict=True):
            here, finer = channels[level], channels[max(level - 1, 0)]
            inputs = [here if level == levels[-1] else 2 * here] + [here] * (layers - 1)
            outputs = [here] * (layers - 1) + [finer]
            resnets = [resnet(before, here, after) for before, after in zip(inputs, outputs, strict=True)]
            attends_to = outputs if block_type == UP[1] else []
            self.up_blocks.append(KBlock(resnets, [attention(after, level) for after in attends_to]))

        kernel = config.conv_out_kernel
        self.conv_out = nn.Conv2d(channels[0], config.out_channels, kernel, padding=kernel // 2)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        encoder_hidden_states: Float[Tensor, "b t d"],
        *,
        timestep_cond: Float[Tensor, "b g"] | None = None,
        mask: Bool[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b k h w"]:
        """Looks once.

        Args:
            sample: something noisy; height and width are multiples of `config.factor`, and at least twice that.
            timestep: the level's label, ln(sigma) / 4 for the latent upscaler.
            encoder_hidden_states: the words' states.
            timestep_cond: what the upscaler is told besides, by `upscaling_condition`.
            mask: which words to listen to; all by default.

        Raises:
            ValueError: the sample is of another size, or `timestep_cond` is missing or not known to the network.
        """
        factor = self.config.factor
        if any(edge % factor or edge < 2 * factor for edge in sample.shape[-2:]):
            height, width = sample.shape[-2:]
            raise ValueError(f"sample: {height}x{width}, which should be multiples of {factor} from {2 * factor} on")
        if (timestep_cond is None) != (self.config.time_cond_proj_dim is None):
            raise ValueError("timestep_cond: needed by networks with time_cond_proj_dim, and by no others")
        t = torch.as_tensor(timestep, dtype=torch.float32, device=sample.device).expand(sample.shape[0])
        condition = None if timestep_cond is None else timestep_cond.to(sample.dtype)
        embedding = F.gelu(self.time_embedding(self.time_proj(t).to(sample.dtype), condition))
        told = (embedding, encoder_hidden_states, None if mask is None else hiding(mask, sample.dtype))

        x = self.conv_in(sample)
        skips: list[Tensor] = []
        for block in self.down_blocks[:-1]:
            x = block(x, *told)
            skips.append(x)
            x = halved(x)
        x = self.down_blocks[-1](x, *told)
        x = self.up_blocks[0](x, *told)
        for block in self.up_blocks[1:]:
            x = block(torch.cat([doubled(x), skips.pop()], dim=1), *told)
        return self.conv_out(x)


def upscaling_condition(pooled: Float[Tensor, "b d"], waves: int = 128) -> Float[Tensor, "b g"]:
    """Gives what the x2 latent upscaler is told besides its noise level, `timestep_cond` of `KUNet.forward`.

    That is the pooled state of the prompt, after the waves, cosines first, of how much noise the small latents carry:
    none, which is all it is used for.
    """
    told = pooled.new_zeros(len(pooled), waves)
    told[:, : waves // 2] = 1
    return torch.cat([told, pooled], dim=1)
