"""The U-Net: looks at something noisy coarsely and finely at once, and listens to the words."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import Transformer2DModel, hiding
from sfumato.networks.blocks import Downsample2D, ResnetBlock2D, TimestepEmbedding, Upsample2D, sinusoids
from sfumato.networks.config import per_block
from sfumato.networks.unet_blocks import DownBlock, MidBlock, UpBlock
from sfumato.networks.unet_config import UNetConfig


class UNet(nn.Module):
    """A U-Net with attention to words (Ronneberger et al. 2015; Ho et al. 2020; Rombach et al. 2022, section 3.3).

    Parameters carry the names of diffusers' `UNet2DConditionModel`. The network knows nothing of diffusion: it takes
    a picture or a latent, a number and a condition, and gives something of the same size.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        channels, groups = config.block_out_channels, config.norm_num_groups
        levels, width = range(len(channels)), 4 * channels[0]
        heads = per_block(config.attention_head_dim, len(channels))
        layers = per_block(config.layers_per_block, len(channels))
        depths = per_block(config.transformer_layers_per_block, len(channels))
        context_widths = per_block(config.cross_attention_dim, len(channels))
        only_cross = per_block(config.only_cross_attention, len(channels))

        def resnet(inputs: int, outputs: int) -> ResnetBlock2D:
            return ResnetBlock2D(inputs, outputs, width, groups=groups, eps=config.norm_eps, dropout=config.dropout)

        def transformer(level: int, *, only_cross: bool = False) -> Transformer2DModel:
            return Transformer2DModel(
                channels[level],
                heads[level],
                context_widths[level],
                depth=depths[level],
                groups=groups,
                linear=config.use_linear_projection,
                only_cross=only_cross,
            )

        def transformers(level: int, block_type: str, count: int) -> list[Transformer2DModel]:
            count = count if block_type.startswith("CrossAttn") else 0
            return [transformer(level, only_cross=only_cross[level]) for _ in range(count)]

        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(channels[0], width)
        self.class_embedding = _class_embedding(config, width)
        self.add_embedding = _added_embedding(config, width)

        self.down_blocks = nn.ModuleList()
        skips = [channels[0]]  # channels of each state that the way down leaves for the way up
        for level, block_type in zip(levels, config.down_block_types, strict=True):
            here, coarsest = channels[level], level == levels[-1]
            resnets = [resnet(skips[-1] if i == 0 else here, here) for i in range(layers[level])]
            attentions = transformers(level, block_type, len(resnets))
            self.down_blocks.append(DownBlock(resnets, attentions, [] if coarsest else [Downsample2D(here)]))
            skips += [here] * (len(resnets) + (not coarsest))

        self.mid_block = None
        if config.mid_block_type is not None:
            attentions = [transformer(-1)] if config.mid_block_type == "UNetMidBlock2DCrossAttn" else []
            resnets = [resnet(channels[-1], channels[-1]) for _ in range(1 + len(attentions))]
            self.mid_block = MidBlock(resnets, attentions)

        self.up_blocks = nn.ModuleList()
        below = channels[-1]
        for level, block_type in zip(reversed(levels), config.up_block_types, strict=True):
            here, finest = channels[level], level == 0
            resnets = [resnet((below if i == 0 else here) + skips.pop(), here) for i in range(layers[level] + 1)]
            attentions = transformers(level, block_type, len(resnets))
            self.up_blocks.append(UpBlock(resnets, attentions, [] if finest else [Upsample2D(here)]))
            below = here

        self.conv_norm_out = nn.GroupNorm(groups, channels[0], eps=config.norm_eps)
        self.conv_out = nn.Conv2d(channels[0], config.out_channels, 3, padding=1)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        encoder_hidden_states: Float[Tensor, "b t d"] | None = None,
        *,
        class_labels: Shaped[Tensor, "b *k"] | None = None,
        mask: Bool[Tensor, "b t"] | None = None,
        added: Mapping[str, Tensor] | None = None,
        blind: Bool[Tensor, " b"] | None = None,
        blind_stations: Collection[str] = ("mid",),
    ) -> Float[Tensor, "b k h w"]:
        """Looks once.

        Args:
            sample: something noisy, of any height and width.
            timestep: the level's label, one for each sample or one for all; fractions are welcome.
            encoder_hidden_states: the words' states; None for a network without attention to words.
            class_labels: by `config.class_embed_type`: class numbers (b,) for None, numbers like timesteps (b,) for
                "timestep", vectors (b, k) for the others. Needed exactly where the configuration names classes.
            mask: which words to listen to; all by default.
            added: what Stable Diffusion XL also wants: "text_embeds" (b, p) and "time_ids" (b, 6).
            blind: samples whose pixels do not look at one another, for perturbed-attention guidance (Ahn et al. 2024).
            blind_stations: where they do not: any of "down", "mid" and "up".

        Raises:
            ValueError: `class_labels` or `added` is missing.
        """
        embedding = F.silu(self.embed(sample, timestep, class_labels, added))
        bias = None if mask is None else hiding(mask, sample.dtype)
        down, mid, up = (blind if station in blind_stations else None for station in ("down", "mid", "up"))
        x = self.conv_in(2 * sample - 1 if self.config.center_input_sample else sample)

        skips = [x]
        for block in self.down_blocks:
            x, states = block(x, embedding, encoder_hidden_states, bias, down)
            skips += states
        if self.mid_block is not None:
            x = self.mid_block(x, embedding, encoder_hidden_states, bias, mid)
        for block in self.up_blocks:
            x = block(x, skips, embedding, encoder_hidden_states, bias, up)

        return self.conv_out(F.silu(self.conv_norm_out(x)))

    def embed(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        class_labels: Shaped[Tensor, "b *k"] | None,
        added: Mapping[str, Tensor] | None,
    ) -> Float[Tensor, "b e"]:
        """Gives the sum of what is said to the picture as a whole: its noise level, its class, and `added`."""
        config = self.config
        t = torch.as_tensor(timestep, dtype=torch.float32, device=sample.device).expand(len(sample))
        embedding = self.time_embedding(self._waves(t, config.block_out_channels[0]).to(sample.dtype))
        if self.class_embedding is not None:
            if class_labels is None:
                raise ValueError("class_labels: this U-Net is conditioned on classes and needs them")
            if config.class_embed_type == "timestep":
                class_labels = self._waves(class_labels, config.block_out_channels[0]).to(sample.dtype)
            embedding = embedding + self.class_embedding(class_labels).to(sample.dtype)
        if self.add_embedding is not None:
            if added is None or not {"text_embeds", "time_ids"} <= added.keys():
                raise ValueError('added: this U-Net needs "text_embeds" (b, p) and "time_ids" (b, 6)')
            times = self._waves(added["time_ids"], config.addition_time_embed_dim or 0).flatten(1)
            embedding = embedding + self.add_embedding(torch.cat([added["text_embeds"], times], 1).to(sample.dtype))
        return embedding

    def _waves(self, t: Shaped[Tensor, "*b"], width: int) -> Float[Tensor, "*b c"]:
        return sinusoids(t, width, cosine_first=self.config.flip_sin_to_cos, shift=self.config.freq_shift)


def _class_embedding(config: UNetConfig, width: int) -> nn.Module | None:
    match config.class_embed_type:
        case "timestep":
            return TimestepEmbedding(config.block_out_channels[0], width)
        case "identity":
            return nn.Identity()
        case "projection":
            return TimestepEmbedding(config.class_width, width)
        case "simple_projection":
            return nn.Linear(config.class_width, width)
        case _:
            return nn.Embedding(config.num_class_embeds, width) if config.num_class_embeds else None


def _added_embedding(config: UNetConfig, width: int) -> TimestepEmbedding | None:
    return TimestepEmbedding(config.class_width, width) if config.addition_embed_type == "text_time" else None
