"""How blurred a picture is, without another to compare it with."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image

SIDE = 256  # pixels of the shorter side at which it is looked at; smaller pictures as they are
WINDOW = 9  # pixels, over which the picture is blurred again
SLIGHT, LEVELS = 0.1, 3.0  # differences below this share of the greatest, or so many levels, do not count
BLURRED = 0.6  # and above; sharp photographs have 0.1 to 0.35, an edge spread over 1.1 pixels has 0.6


def blur(picture: Image.Image) -> float:
    """From 0, sharp, to 1: how little of the differences between neighbours a further blur takes away.

    A sharp picture loses much by being blurred, a blurred one little (Crete et al. 2007, eq. 1-6). Only differences of
    at least three levels, and a tenth of the greatest, count: a sky that fades is no blur, and rounding takes no part.
    0 for a picture without any differences, 1 where all are slighter.
    """
    return max(_along(grey := _grey(picture), 0), _along(grey, 1))


def _grey(picture: Image.Image) -> Float[np.ndarray, "h w"]:
    grey = picture.convert("L")
    if min(grey.size) > SIDE:
        scale = SIDE / min(grey.size)
        size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
        grey = grey.resize(size, Image.Resampling.BOX)
    return np.asarray(grey, np.float32)


def _along(grey: Float[np.ndarray, "h w"], axis: int) -> float:
    """The measure along one axis."""
    if grey.shape[axis] <= WINDOW:
        return 0.0
    sums = np.cumsum(np.insert(grey, 0, 0, axis), axis, dtype=np.float64)
    count = grey.shape[axis]
    smooth = (np.take(sums, range(WINDOW, count + 1), axis) - np.take(sums, range(count + 1 - WINDOW), axis)) / WINDOW
    sharp = np.take(grey, range(WINDOW // 2, count - WINDOW // 2), axis)
    before, after = np.abs(np.diff(sharp, axis=axis)), np.abs(np.diff(smooth, axis=axis))
    edges = before >= max(LEVELS, SLIGHT * before.max())
    whole = float(before[edges].sum())
    if not whole:
        return float(before.any())
    return 1 - float(np.maximum(0, before - after)[edges].sum()) / whole
