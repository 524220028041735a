"""A small picture classifier: tells what a picture shows, for evaluation and for steering."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.blocks import Downsample2D, ResnetBlock2D
from sfumato.networks.config import Config, norm_groups, require


@dataclass(frozen=True)
class ClassifierConfig(Config):
    """What a `Classifier` is made of: channels of each resolution, number of classes, channels of a picture."""

    channels: tuple[int, ...] = (24, 48, 80)
    classes: int = 10
    in_channels: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.channels) > 0, self, "channels", why="at least one resolution is needed")
        require(self.classes > 0, self, "classes", why="at least one class is needed")

    def fixed(self) -> dict[str, str]:
        """Gives the mark by which the file is known."""
        return {"_class_name": "Classifier"}


class Classifier(nn.Module):
    """Residual blocks at ever coarser resolutions, then the mean over all pixels (He et al. 2016)."""

    def __init__(self, config: ClassifierConfig):
        super().__init__()
        self.config = config
        channels = config.channels
        groups = norm_groups(channels)
        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.layers = nn.ModuleList()
        for here, coarser in pairwise(channels):
            self.layers += [ResnetBlock2D(here, here, groups=groups), Downsample2D(here)]
            self.layers += [ResnetBlock2D(here, coarser, groups=groups)]
        self.layers += [ResnetBlock2D(channels[-1], channels[-1], groups=groups)]
        self.norm = nn.GroupNorm(groups, channels[-1])
        self.head = nn.Linear(channels[-1], config.classes)

    def forward(self, picture: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Gives the logits of each class for pictures in [-1, 1], of about 8 to 128 pixels."""
        return self.head(self.features(picture))

    def features(self, picture: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Gives what the last layer sees, `config.channels[-1]` numbers per picture."""
        x = self.conv_in(picture)
        for layer in self.layers:
            x = layer(x)
        return F.silu(self.norm(x)).mean(dim=(2, 3))
