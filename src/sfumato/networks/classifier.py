"""A small picture classifier: tells what a picture shows, for evaluation and for steering."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.networks.blocks import Downsample2D, ResnetBlock2D, TimestepEmbedding, sinusoids
from sfumato.networks.config import Config, norm_groups, require


@dataclass(frozen=True)
class ClassifierConfig(Config):
    """What a `Classifier` is made of.

    Attributes:
        channels: of each resolution, finest first.
        classes: how many.
        in_channels: of a picture.
        told_level: whether it is told how noisy the picture is, by a number from 0 to 1000.
    """

    channels: tuple[int, ...] = (24, 48, 80)
    classes: int = 10
    in_channels: int = 3
    told_level: bool = False

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
        groups, width = norm_groups(channels), 4 * channels[0] if config.told_level else None
        self.time_embedding = TimestepEmbedding(channels[0], width) if width else None
        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.layers = nn.ModuleList()
        for here, coarser in pairwise(channels):
            self.layers += [ResnetBlock2D(here, here, width, groups=groups), Downsample2D(here)]
            self.layers += [ResnetBlock2D(here, coarser, width, groups=groups)]
        self.layers += [ResnetBlock2D(channels[-1], channels[-1], width, groups=groups)]
        self.norm = nn.GroupNorm(groups, channels[-1])
        self.head = nn.Linear(channels[-1], config.classes)

    def forward(
        self, picture: Float[Tensor, "b c h w"], level: Float[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b k"]:
        """Gives the logits of each class for pictures in [-1, 1], of about 8 to 128 pixels.

        `level` is needed exactly where the configuration says that it is told.
        """
        return self.head(self.features(picture, level))

    def features(
        self, picture: Float[Tensor, "b c h w"], level: Float[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b d"]:
        """Gives what the last layer sees, `config.channels[-1]` numbers per picture."""
        embedding = None
        if self.time_embedding is not None:
            if level is None:
                raise ValueError("level: this classifier needs to be told how noisy the pictures are")
            embedding = F.silu(self.time_embedding(sinusoids(level, self.config.channels[0]).to(picture)))
        x = self.conv_in(picture)
        for layer in self.layers:
            x = layer(x, embedding) if isinstance(layer, ResnetBlock2D) else layer(x)
        return F.silu(self.norm(x)).mean(dim=(2, 3))
