"""ControlNet: a second way down, which looks at a control picture too and corrects what a U-Net sees.

Zhang et al. 2023, "Adding conditional control to text-to-image diffusion models".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from sfumato.networks.attention import hiding
from sfumato.networks.config import require
from sfumato.networks.extras import Context, Residuals
from sfumato.networks.unet_config import WayDownConfig
from sfumato.networks.way_down import WayDown


@dataclass(frozen=True)
class ControlNetConfig(WayDownConfig):
    """What a `ControlNet` is made of, under the names of its `config.json`.

    `conditioning_embedding_out_channels` are the widths of the embedding of the control picture, which halves it
    between each two: with the default four, a picture is eight times as large as the sample along each edge.
    """

    conditioning_channels: int = 3
    conditioning_embedding_out_channels: tuple[int, ...] = (16, 32, 96, 256)
    controlnet_conditioning_channel_order: str = "rgb"
    global_pool_conditions: bool = False
    layers_per_block: int = 2
    cross_attention_dim: int = 1280

    def __post_init__(self) -> None:
        super().__post_init__()
        name = "controlnet_conditioning_channel_order"
        require(getattr(self, name) in ("rgb", "bgr"), self, name, why="must be rgb or bgr")
        name = "conditioning_embedding_out_channels"
        require(bool(getattr(self, name)), self, name, why="must be one width at least")
        require(self.mid_block_type is not None, self, "mid_block_type", why="must be given")
        require(self.class_embed_type != "simple_projection", self, "class_embed_type", why="is not a ControlNet's")

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return super().fixed() | {
            "_class_name": "ControlNetModel",
            "encoder_hid_dim": None,
            "encoder_hid_dim_type": None,
        }


class ControlNet(WayDown):
    """A copy of a U-Net's way down that sees a control picture (Zhang et al. 2023, section 3.1).

    Parameters carry the names of diffusers' `ControlNetModel`.
    """

    config: ControlNetConfig

    def __init__(self, config: ControlNetConfig):
        super().__init__(config)
        self.controlnet_cond_embedding = ControlEmbedding(
            config.conditioning_channels, config.conditioning_embedding_out_channels, config.block_out_channels[0]
        )
        self.controlnet_down_blocks = nn.ModuleList(nn.Conv2d(width, width, 1) for width in self.skip_channels)
        self.controlnet_mid_block = nn.Conv2d(config.block_out_channels[-1], config.block_out_channels[-1], 1)

    def forward(
        self,
        sample: Float[Tensor, "b c h w"],
        timestep: Shaped[Tensor, "*b"] | float,
        encoder_hidden_states: Float[Tensor, "b t d"] | None,
        control: Float[Tensor, "b k h8 w8"],
        *,
        scale: float = 1.0,
        guess: bool = False,
        class_labels: Shaped[Tensor, "b *k"] | None = None,
        mask: Bool[Tensor, "b t"] | None = None,
        added: Mapping[str, Tensor] | None = None,
    ) -> Residuals:
        """Looks once; the result goes to `UNet.forward` beside the same `sample` and `timestep`.

        Args:
            sample, timestep, encoder_hidden_states, class_labels, mask, added: as in `UNet.forward`.
            control: pictures of edges, depths, poses ... in [0, 1], in RGB, whatever the file was trained with.
            scale: how much of the correction is wanted; 1 as in training.
            guess: the finer a state, the less it is corrected, from a tenth on: for control without words
                ("guess mode" of the authors' program).

        Raises:
            ValueError: the control picture's size does not fit the sample's; `class_labels` or `added` is missing.
        """
        if self.config.controlnet_conditioning_channel_order == "bgr":
            control = control.flip(1)
        embedding = self.embed(sample, timestep, class_labels, added)
        context = Context(encoder_hidden_states, None if mask is None else hiding(mask, sample.dtype))
        x, hint = self.conv_in(sample), self.controlnet_cond_embedding(control)
        if x.shape[-2:] != hint.shape[-2:]:
            edge = 2 ** (len(self.config.conditioning_embedding_out_channels) - 1)
            raise ValueError(
                f"control: {control.shape[-2]}x{control.shape[-1]} pixels do not fit a sample of "
                f"{sample.shape[-2]}x{sample.shape[-1]}; they should be {edge} times as many along each edge"
            )
        x, skips = self.descend(x + hint, embedding, context)
        assert self.mid_block is not None
        x = self.mid_block(x, embedding, context)

        states = [layer(skip) for layer, skip in zip(self.controlnet_down_blocks, skips, strict=True)]
        states.append(self.controlnet_mid_block(x))
        pooled = self.config.global_pool_conditions
        scales = torch.logspace(-1, 0, len(states)) if guess and not pooled else torch.ones(len(states))
        states = [state * (scale * share) for state, share in zip(states, scales.tolist(), strict=True)]
        if pooled:
            states = [state.mean(dim=(2, 3), keepdim=True) for state in states]
        return Residuals(tuple(states[:-1]), states[-1])


class ControlEmbedding(nn.Module):
    """Shrinks a control picture to the size of the latents (Zhang et al. 2023, section 3.2, the network E).

    Args:
        inputs: channels of the picture.
        channels: of each resolution, largest first.
        outputs: channels of the result.
    """

    def __init__(self, inputs: int, channels: tuple[int, ...], outputs: int):
        super().__init__()
        self.conv_in = nn.Conv2d(inputs, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for here, below in pairwise(channels):
            self.blocks.append(nn.Conv2d(here, here, 3, padding=1))
            self.blocks.append(nn.Conv2d(here, below, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(channels[-1], outputs, 3, padding=1)

    def forward(self, picture: Float[Tensor, "b c h8 w8"]) -> Float[Tensor, "b k h w"]:
        """Halves the picture between each two of `channels`."""
        x = F.silu(self.conv_in(picture))
        for block in self.blocks:
            x = F.silu(block(x))
        return self.conv_out(x)
