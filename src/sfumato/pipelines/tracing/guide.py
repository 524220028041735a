"""Fitting a coarse map to the edges of a picture: the guided filter (He, Sun & Tang 2013)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image

from sfumato.pipelines.tracing.looks import Map, enlarged

REACH = 0.13  # of the picture's longer edge; a window is twice as wide
SMOOTHNESS = 1e-3  # epsilon of the paper: a variance of colours, in [0, 1], below which nothing is an edge
SIDE = 64  # at which the windows are computed (He & Sun 2015)


def fitted(one: Map, picture: Image.Image) -> Map:
    """A map as the linear function of the picture's colours, in each window, that is nearest to it.

    Args:
        one: of the picture's size.
        picture: whose edges it takes on.

    Source: He, Sun & Tang 2013, equations 19 to 21, with the windows at a smaller size (He & Sun 2015, algorithm 2).
    """
    colours = np.asarray(picture.convert("RGB"), np.float64) / 255
    size = colours.shape[:2]
    by = min(1.0, SIDE / max(size))
    small = (max(1, round(size[0] * by)), max(1, round(size[1] * by)))
    guide = np.stack([enlarged(colours[..., channel], small) for channel in range(3)], -1).astype(np.float64)
    slope, offset = _lines(enlarged(one, small).astype(np.float64), guide)
    slopes = np.stack([enlarged(slope[..., channel], size) for channel in range(3)], -1)
    return (slopes * colours).sum(-1) + enlarged(offset, size)


def _lines(one: Map, guide: Float[np.ndarray, "h w 3"]) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """The slopes and the offset at each place, averaged over the windows that hold it."""
    reach = max(1, round(REACH * max(one.shape)))
    means, mean = averaged(guide, reach), averaged(one[..., None], reach)[..., 0]
    across = averaged(guide * one[..., None], reach) - means * mean[..., None]
    pairs = (guide[..., :, None] * guide[..., None, :]).reshape(*one.shape, 9)
    spread = averaged(pairs, reach).reshape(*one.shape, 3, 3) - means[..., :, None] * means[..., None, :]
    slope = np.linalg.solve(spread + SMOOTHNESS * np.eye(3), across[..., None])[..., 0]
    offset = mean - (slope * means).sum(-1)
    return averaged(slope, reach), averaged(offset[..., None], reach)[..., 0]


def averaged(values: Float[np.ndarray, "h w c"], reach: int) -> Float[np.ndarray, "h w c"]:
    """The mean over the square of `reach` places to each side, as far as it lies inside."""
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))
    (top, bottom), (left, right) = (
        (np.maximum(np.arange(edge) - reach, 0), np.minimum(np.arange(edge) + reach + 1, edge))
        for edge in values.shape[:2]
    )
    inside = sums[bottom][:, right] - sums[top][:, right] - sums[bottom][:, left] + sums[top][:, left]
    return inside / ((bottom - top)[:, None] * (right - left)[None])[..., None]
