"""T2I-Adapter: a small network that turns a control picture into features for the way down of a U-Net.

Mou et al. 2023, "T2I-Adapter: learning adapters to dig out more controllable ability for text-to-image diffusion
models". It looks at the picture once, not at every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.config import Config, require

KINDS = ("full_adapter", "full_adapter_xl", "light_adapter")


@dataclass(frozen=True)
class T2IAdapterConfig(Config):
    """What a `T2IAdapter` is made of, under the names of its `config.json`.

    `channels` are those of the features, finest first. `downscale_factor` is how many times smaller than the picture
    the finest feature is along each edge.
    """

    in_channels: int = 3
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    num_res_blocks: int = 2
    downscale_factor: int = 8
    adapter_type: str = "full_adapter"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.channels), self, "channels", why="must be one width at least")
        require(self.downscale_factor > 0, self, "downscale_factor", why="must be above 0")
        require(self.adapter_type in KINDS, self, "adapter_type", why=f"must be one of {KINDS}")

    def fixed(self) -> dict[str, Any]:
        """Gives the reference's keys that have one supported value."""
        return {"_class_name": "T2IAdapter"}


class T2IAdapter(nn.Module):
    """Features of a control picture, one for each resolution of a U-Net (Mou et al. 2023, section 3.3).

    Parameters carry the names of diffusers' `T2IAdapter`.
    """

    def __init__(self, config: T2IAdapterConfig):
        super().__init__()
        self.config = config
        self.adapter = _Adapter(config)

    def forward(self, control: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b k h2 w2"]]:
        """Gives the features, finest first, for `Extras`; the caller scales them and adds those of several adapters.

        Args:
            control: pictures of edges, depths, poses ... in [0, 1], whatever the file was trained with; height and
                width are multiples of `config.downscale_factor`.

        Raises:
            ValueError: another height or width.
        """
        factor = self.config.downscale_factor
        if any(edge % factor for edge in control.shape[-2:]):
            height, width = control.shape[-2:]
            raise ValueError(f"control: {height}x{width} pixels; height and width must be multiples of {factor}")
        x, features = self.adapter.prepare(F.pixel_unshuffle(control, factor)), []
        for block in self.adapter.body:
            x = block(x)
            features.append(x)
        return features


class _Adapter(nn.Module):
    def __init__(self, config: T2IAdapterConfig):
        super().__init__()
        channels, layers = config.channels, config.num_res_blocks
        light, large = config.adapter_type == "light_adapter", config.adapter_type == "full_adapter_xl"
        pixels = config.in_channels * config.downscale_factor**2
        self.conv_in = None if light else nn.Conv2d(pixels, channels[0], 3, padding=1)
        if light:
            channels = (*channels, channels[-1])
        inputs = [pixels if light else channels[0], *channels[:-1]]
        self.body = nn.ModuleList()
        for number, (before, here) in enumerate(zip(inputs, channels, strict=True)):
            shrinks = number == 2 if large else number > 0
            self.body.append((_LightBlock if light else _Block)(before, here, layers, shrinks))

    def prepare(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        return x if self.conv_in is None else self.conv_in(x)


class _Block(nn.Module):
    """Residual blocks at one resolution; AdapterBlock of the reference."""

    def __init__(self, inputs: int, outputs: int, layers: int, shrinks: bool):
        super().__init__()
        self.shrinks = shrinks
        self.in_conv = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None
        self.resnets = nn.Sequential(*(_Resnet(outputs, kernel=1) for _ in range(layers)))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        x = _halved(x) if self.shrinks else x
        return self.resnets(x if self.in_conv is None else self.in_conv(x))


class _LightBlock(nn.Module):
    """The same in a quarter of the channels; LightAdapterBlock of the reference."""

    def __init__(self, inputs: int, outputs: int, layers: int, shrinks: bool):
        super().__init__()
        self.shrinks, inner = shrinks, outputs // 4
        self.in_conv = nn.Conv2d(inputs, inner, 1)
        self.resnets = nn.Sequential(*(_Resnet(inner, kernel=3) for _ in range(layers)))
        self.out_conv = nn.Conv2d(inner, outputs, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        return self.out_conv(self.resnets(self.in_conv(_halved(x) if self.shrinks else x)))


class _Resnet(nn.Module):
    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.block2(F.relu(self.block1(x)))


def _halved(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    return F.avg_pool2d(x, 2, ceil_mode=True)
