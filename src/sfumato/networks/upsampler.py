"""The upsampler: a U-Net that looks at a noisy large picture beside the small one, enlarged, and adds the detail.

Its input is `torch.cat([noisy, enlarge(small, factor)], dim=1)` where the caller has put a little noise on the small
picture; how much is the class label, as in cascaded diffusion (Ho et al. 2022, section 4) and Stable Diffusion's x4
upscaler. Squares of `patch` pixels a side may be told as channels, which makes it fast where pictures are large.
"""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.networks.unet_config import UNetConfig, unet_config


def upsampler_config(
    channels: tuple[int, ...] = (32, 64, 128),
    *,
    picture_channels: int = 3,
    patch: int = 1,
    noise_levels: int = 350,
    **more: Any,
) -> UNetConfig:
    """Chooses a U-Net that enlarges pictures, without attention: detail is local, and sizes may then be any.

    Args:
        channels: of each resolution, finest first.
        picture_channels: channels of a picture; the network sees twice as many for each pixel.
        patch: pixels a side of the squares that it takes together.
        noise_levels: how many levels of noise on the small picture are told apart; labels are below this.
        more: any other argument of `unet_config`.
    """
    settings: dict[str, Any] = {
        "in_channels": 2 * picture_channels * patch**2,
        "out_channels": picture_channels * patch**2,
        "attention": (False,) * len(channels),
        "num_class_embeds": noise_levels,
    }
    return unet_config(channels, **settings | more)


def patch_of(config: UNetConfig, picture_channels: int = 3) -> int:
    """How many pixels a side an upsampler takes together."""
    return isqrt(config.out_channels // picture_channels)


def enlarge(small: Float[Tensor, "b c h w"], factor: int) -> Float[Tensor, "b c h2 w2"]:
    """Enlarges pictures `factor` times by straight lines between pixel centres: never beyond their range."""
    return F.interpolate(small, scale_factor=float(factor), mode="bilinear", align_corners=False)
