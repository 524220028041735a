"""The stations of the U-Net: down, middle and up, each a few residual blocks with or without transformers.

Each takes its layers ready made; which they are is decided in one place, by the U-Net.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.attention import Transformer2DModel
from sfumato.networks.blocks import Downsample2D, ResnetBlock2D, Upsample2D
from sfumato.networks.extras import Context


class DownBlock(nn.Module):
    """One resolution on the way down; diffusers' `DownBlock2D` and, with `attentions`, `CrossAttnDownBlock2D`."""

    def __init__(
        self,
        resnets: Iterable[ResnetBlock2D],
        attentions: Iterable[Transformer2DModel],
        downsamplers: Iterable[Downsample2D],
    ):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.downsamplers = nn.ModuleList(downsamplers)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        embedding: Float[Tensor, "b e"],
        context: Context,
        feature: Float[Tensor, "b k h3 w3"] | None = None,
    ) -> tuple[Float[Tensor, "b k h2 w2"], list[Tensor]]:
        """Gives the result, and every state on the way for the block opposite.

        The `feature` of a T2I-Adapter is added where such adapters are trained to be: to the state before the
        downsampling in a block with attention, to the one after it in a block without (Mou et al. 2023, equation 4).
        """
        skips = []
        for resnet, attention in zip_longest(self.resnets, self.attentions):
            x = resnet(x, embedding)
            if attention is not None:
                x = attention(x, context)
            skips.append(x)
        if feature is not None and self.attentions:
            skips[-1] = x = x + feature
        for downsample in self.downsamplers:
            x = downsample(x)
            skips.append(x)
        if feature is not None and not self.attentions:
            skips[-1] = x = x + feature
        return x, skips


class MidBlock(nn.Module):
    """The coarsest resolution; diffusers' `UNetMidBlock2D` and, with `attentions`, `UNetMidBlock2DCrossAttn`."""

    def __init__(self, resnets: Iterable[ResnetBlock2D], attentions: Iterable[Transformer2DModel]):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        embedding: Float[Tensor, "b e"],
        context: Context,
    ) -> Float[Tensor, "b c h w"]:
        """Keeps the shape."""
        for resnet, attention in zip_longest(self.resnets, self.attentions):
            x = resnet(x, embedding)
            if attention is not None:
                x = attention(x, context)
        return x


class UpBlock(nn.Module):
    """One resolution on the way up; diffusers' `UpBlock2D` and, with `attentions`, `CrossAttnUpBlock2D`."""

    def __init__(
        self,
        resnets: Iterable[ResnetBlock2D],
        attentions: Iterable[Transformer2DModel],
        upsamplers: Iterable[Upsample2D],
    ):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.upsamplers = nn.ModuleList(upsamplers)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        skips: list[Tensor],
        embedding: Float[Tensor, "b e"],
        context: Context,
    ) -> Float[Tensor, "b k h2 w2"]:
        """Takes its share off the end of `skips`, and grows to the size of the next one there."""
        for resnet, attention in zip_longest(self.resnets, self.attentions):
            x = resnet(torch.cat([x, skips.pop()], dim=1), embedding)
            if attention is not None:
                x = attention(x, context)
        for upsample in self.upsamplers:
            x = upsample(x, skips[-1].shape[-2:])  # not simply double: an odd size was rounded on the way down
        return x
