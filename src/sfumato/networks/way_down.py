"""The way down: the half of a U-Net that looks ever more coarsely, with what it is told as a whole, and the middle.

`UNet` goes up again from there; `ControlNet` says from there what a U-Net should see otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import Transformer2DModel
from sfumato.networks.blocks import Downsample2D, ResnetBlock2D, TimestepEmbedding, sinusoids
from sfumato.networks.config import per_block
from sfumato.networks.extras import Context
from sfumato.networks.unet_blocks import DownBlock, MidBlock
from sfumato.networks.unet_config import WayDownConfig


class WayDown(nn.Module):
    """Convolutions and attention at ever fewer pixels (Ronneberger et al. 2015), under the names of diffusers.

    Args:
        config: of the whole network.
        dropout: probability, within the residual blocks.
        guidance_width: channels of what a distilled model is told of guidance; None for others.
    """

    config: WayDownConfig

    def __init__(self, config: WayDownConfig, *, dropout: float = 0.0, guidance_width: int | None = None):
        super().__init__()
        self.config, self._dropout = config, dropout
        channels, width = config.block_out_channels, 4 * config.block_out_channels[0]
        levels = range(len(channels))

        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(channels[0], width, condition_width=guidance_width)
        self.class_embedding = _class_embedding(config, width)
        self.add_embedding = _added_embedding(config, width)

        self.down_blocks = nn.ModuleList()
        self.skip_channels = [channels[0]]  # of each state that the way down leaves for the way up
        for level, block_type in zip(levels, config.down_block_types, strict=True):
            here, coarsest = channels[level], level == levels[-1]
            layers = per_block(config.layers_per_block, len(channels))[level]
            resnets = [self._resnet(self.skip_channels[-1] if i == 0 else here, here) for i in range(layers)]
            attentions = self._transformers(level, block_type, per_block(config.depths[level], layers))
            self.down_blocks.append(DownBlock(resnets, attentions, [] if coarsest else [Downsample2D(here)]))
            self.skip_channels += [here] * (layers + (not coarsest))

        self.mid_block = None
        if config.mid_block_type is not None:
            depth = per_block(config.depths[-1], 1)[0]
            attentions = [self._transformer(-1, depth)] if config.mid_block_type == "UNetMidBlock2DCrossAttn" else []
            resnets = [self._resnet(channels[-1], channels[-1]) for _ in range(1 + len(attentions))]
            self.mid_block = MidBlock(resnets, attentions)

    def embed(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        class_labels: Shaped[Tensor, "b *k"] | None = None,
        added: Mapping[str, Tensor] | None = None,
        timestep_cond: Float[Tensor, "b g"] | None = None,
    ) -> Float[Tensor, "b e"]:
        """Gives the sum of what is said to the picture as a whole: its noise level, its class, and `added`."""
        config = self.config
        if (timestep_cond is None) != (self.time_embedding.cond_proj is None):
            raise ValueError("timestep_cond: needed by networks with time_cond_proj_dim, and by no others")
        t = torch.as_tensor(timestep, dtype=torch.float32, device=sample.device).expand(sample.shape[0])
        told = None if timestep_cond is None else timestep_cond.to(sample.dtype)
        embedding = self.time_embedding(self._waves(t, config.block_out_channels[0]).to(sample.dtype), told)
        if self.class_embedding is not None:
            if class_labels is None:
                raise ValueError("class_labels: this network is conditioned on classes and needs them")
            if config.class_embed_type == "timestep":
                class_labels = self._waves(class_labels, config.block_out_channels[0]).to(sample.dtype)
            embedding = embedding + self.class_embedding(class_labels).to(sample.dtype)
        if self.add_embedding is not None:
            if added is None or not {"text_embeds", "time_ids"} <= added.keys():
                raise ValueError('added: this network needs "text_embeds" (b, p) and "time_ids" (b, 5 or 6)')
            times = self._waves(added["time_ids"], config.addition_time_embed_dim or 0).flatten(1)
            embedding = embedding + self.add_embedding(torch.cat([added["text_embeds"], times], 1).to(sample.dtype))
        return F.silu(embedding)

    def descend(
        self,
        x: Float[Tensor, "b k h w"],
        embedding: Float[Tensor, "b e"],
        context: Context,
        features: Sequence[Tensor] = (),
    ) -> tuple[Float[Tensor, "b k2 h2 w2"], list[Tensor]]:
        """Takes what comes from `conv_in` to the coarsest resolution, and gives every state on the way too.

        Of `features`, each block adds one, as long as there are any.
        """
        skips = [x]
        for number, block in enumerate(self.down_blocks):
            x, states = block(x, embedding, context, features[number] if number < len(features) else None)
            skips += states
        return x, skips

    def _resnet(self, inputs: int, outputs: int) -> ResnetBlock2D:
        config = self.config
        width, groups = 4 * config.block_out_channels[0], config.norm_num_groups
        return ResnetBlock2D(inputs, outputs, width, groups=groups, eps=config.norm_eps, dropout=self._dropout)

    def _transformers(self, level: int, block_type: str, depths: Sequence[int]) -> list[Transformer2DModel]:
        only_cross = per_block(self.config.only_cross_attention, len(self.config.block_out_channels))[level]
        depths = depths if block_type.startswith("CrossAttn") else ()
        return [self._transformer(level, depth, only_cross=only_cross) for depth in depths]

    def _transformer(self, level: int, depth: int, *, only_cross: bool = False) -> Transformer2DModel:
        config, blocks = self.config, len(self.config.block_out_channels)
        return Transformer2DModel(
            config.block_out_channels[level],
            per_block(config.attention_head_dim, blocks)[level],
            per_block(config.cross_attention_dim, blocks)[level],
            depth=depth,
            groups=config.norm_num_groups,
            linear=config.use_linear_projection,
            only_cross=only_cross,
        )

    def _waves(self, t: Shaped[Tensor, "*b"], width: int) -> Float[Tensor, "*b c"]:
        return sinusoids(t, width, cosine_first=self.config.flip_sin_to_cos, shift=self.config.freq_shift)


def guidance_waves(scale: Float[Tensor, " b"], width: int) -> Float[Tensor, "b g"]:
    """Describes scales of guidance to a model that is distilled with it (Luo et al. 2023, section 4.2, w = scale - 1).

    Args:
        scale: of classifier-free guidance, 1 for none.
        width: `time_cond_proj_dim` of the model.
    """
    return sinusoids(1000 * (scale - 1), width, cosine_first=False, shift=1)


def _class_embedding(config: WayDownConfig, width: int) -> nn.Module | None:
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


def _added_embedding(config: WayDownConfig, width: int) -> TimestepEmbedding | None:
    return TimestepEmbedding(config.class_width, width) if config.addition_embed_type == "text_time" else None
