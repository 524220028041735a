"""What does an autoencoder lose? Pictures there and back, compared with themselves."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.errors import DataError

RANGE = 2.0  # of pictures in [-1, 1]
WINDOW, SPREAD = 11, 1.5  # pixels (Wang et al. 2004, section III.B)
K1, K2 = 0.01, 0.03


def psnr(pictures: Float[Tensor, "n c h w"], originals: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """The peak signal-to-noise ratio of each picture in decibels, 10 log10(range^2 / MSE); infinite for equal ones.

    Pictures are in [-1, 1]; what is outside is clipped, as files do. Raises DataError for different shapes.
    """
    a, b = _pairs(pictures, originals)
    return 10 * (RANGE**2 / (a - b).square().mean((1, 2, 3))).log10()


def ssim(pictures: Float[Tensor, "n c h w"], originals: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """The structural similarity of each picture, -1 to 1 and 1 for equal ones (Wang et al. 2004, eq. 13).

    Gaussian windows of 11 x 11 pixels that lie wholly within the picture, the mean over places and channels. Pictures
    as in `psnr`. Raises DataError for different shapes, or sides below 11 pixels.
    """
    a, b = _pairs(pictures, originals)
    if min(a.shape[-2:]) < WINDOW:
        size = "x".join(map(str, a.shape[-2:]))
        raise DataError(f"SSIM looks through windows of {WINDOW} pixels; these pictures have {size}.")
    mean_a, mean_b = _windowed(a), _windowed(b)
    var_a, var_b = _windowed(a * a) - mean_a**2, _windowed(b * b) - mean_b**2
    both = _windowed(a * b) - mean_a * mean_b
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    likeness = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return (likeness / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean((1, 2, 3))


def _windowed(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    """Weighted means over all windows, along one side and then the other."""
    places = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    weights = (-places.square() / (2 * SPREAD**2)).exp()
    column = (weights / weights.sum()).view(1, 1, WINDOW, 1)
    planes = x.flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(planes, column), column.transpose(2, 3))[:, 0].unflatten(0, x.shape[:2])


def _pairs(pictures: Tensor, originals: Tensor) -> tuple[Tensor, Tensor]:
    if pictures.shape != originals.shape or pictures.ndim != 4 or not len(pictures):
        shapes = f"{tuple(pictures.shape)} and {tuple(originals.shape)}"
        raise DataError(f"Pictures are compared with originals of their own shape (n, c, h, w), not {shapes}.")
    return pictures.double().clamp(-1, 1), originals.double().clamp(-1, 1)
