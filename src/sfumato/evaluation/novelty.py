"""Is a picture new, or a copy of a training picture? Distances to the nearest one tell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def nearest_distances(
    pictures: Float[Tensor, "n 3 h w"], training: Float[Tensor, "m 3 h2 w2"], size: int = 32
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The root-mean-square distance of each picture to its nearest training picture, and that one's number.

    Pictures are in [-1, 1] and are compared at `size` pixels a side. A copy has a distance near 0; for what is usual,
    compare with held-out real pictures.
    """
    a, b = _rows(pictures, size), _rows(training, size)
    distances, which = zip(*(torch.cdist(rows, b).min(1) for rows in a.split(256)), strict=True)
    return torch.cat(distances) / a.shape[1] ** 0.5, torch.cat(which)


def all_distances(
    pictures: Float[Tensor, "n 3 h w"], training: Float[Tensor, "m 3 h2 w2"], size: int = 32
) -> Float[Tensor, "n m"]:
    """The distance of each picture to each training picture, measured in the same way."""
    a, b = _rows(pictures, size), _rows(training, size)
    return torch.cdist(a, b) / a.shape[1] ** 0.5


def _rows(pictures: Tensor, size: int) -> Float[Tensor, "n p"]:
    return F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False).flatten(1)
