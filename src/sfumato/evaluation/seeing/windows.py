"""Square windows of a picture over place and size, and which of them may hold a whole thing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

STRIP = 0.15  # of a window's side, at its edge: a thing reaches it
RING = 0.12  # of a window's side, around it
LEAST = 0.1  # of a window is there
MOST_AROUND = 0.65  # of the ring may be other things

FINE = 4  # steps in a pixel, to which windows are rounded

Boxes = Float[Tensor, "k 3"]  # x and y of the middle, size: all in picture sides


def all_windows(smallest: float, largest: float, pixels: int, ratio: float = 1.15, step: float = 0.1) -> Boxes:
    """Windows inside a picture: sizes grow by `ratio`, places are `step` of a size or one pixel apart at most."""
    boxes, size = [], smallest
    while size <= largest:
        number = int((1 - size) / max(size * step, 1 / pixels)) + 2
        places = torch.linspace(size / 2, 1 - size / 2, number)
        y, x = torch.meshgrid(places, places, indexing="ij")
        boxes.append(torch.stack([x, y, torch.full_like(x, size)], -1).flatten(0, 1))
        size *= ratio
    return torch.cat(boxes)


class Cutter:
    """Cuts windows from maps into cells, each the mean of what it covers.

    Sums over all that is left of and above a place (Crow 1984), at every quarter of a pixel, make a cell four numbers.
    """

    def __init__(self, maps: Float[Tensor, "b c h w"]) -> None:
        self.side = maps.shape[-1]
        sums = F.pad(maps.double().cumsum(2).cumsum(3), (1, 0, 1, 0)).float()
        size = (self.side * FINE + 1,) * 2
        fine = F.interpolate(sums, size, mode="bilinear", align_corners=True)  # linear between pixels: exact
        self.sums = fine.flatten(2).transpose(1, 2).contiguous()  # (b, places, c)

    def __call__(self, which: Int[Tensor, " k"], boxes: Boxes, cells: int) -> Float[Tensor, "k c cells cells"]:
        """Windows of the maps that `which` names."""
        edges = torch.linspace(-0.5, 0.5, cells + 1, device=boxes.device)
        fine = self.side * FINE
        x, y = (((at[:, None] + edges * boxes[:, 2:]) * fine).round().long().clamp(0, fine) for at in boxes.T[:2])
        places = y[:, :, None] * (fine + 1) + x[:, None, :]
        corners = self.sums[which[:, None], places.flatten(1)].unflatten(1, (cells + 1, cells + 1))
        area = y.diff()[:, :, None] * x.diff()[:, None, :] / FINE**2
        means = corners.diff(dim=1).diff(dim=2) / area.clamp_min(1e-6)[..., None]
        return means.permute(0, 3, 1, 2)


def promising(there: Float[Tensor, "b h w"], hidden: Float[Tensor, "b h w"], boxes: Boxes) -> Bool[Tensor, "b k"]:
    """Which windows may hold a whole thing.

    Args:
        there: 1 where something is that is not explained yet, else 0.
        hidden: 1 where more of it may be hidden, else 0.

    A thing reaches two opposite edges of its window (or is hidden there), and is not wholly surrounded by more of the
    same, or the window would be a part of a larger thing.
    """
    x, y, size = boxes.T
    left, top, right, bottom = x - size / 2, y - size / 2, x + size / 2, y + size / 2
    strip, ring = size * STRIP, size * RING
    some, maybe = _Sums(there), _Sums((there + hidden).clamp_max(1))
    wide = _both(maybe, (left, top, left + strip, bottom), (right - strip, top, right, bottom))
    high = _both(maybe, (left, top, right, top + strip), (left, bottom - strip, right, bottom))
    inside = some(left, top, right, bottom)
    around = some(left - ring, top - ring, right + ring, bottom + ring) - inside
    area = (size + 2 * ring).square() - size.square()
    enough = inside >= LEAST * size.square()
    return (wide | high) & enough & (around <= MOST_AROUND * area)


class _Sums:
    """Integrals of maps over boxes, by sums over all that is left of and above a corner (Viola & Jones 2001)."""

    def __init__(self, maps: Float[Tensor, "b h w"]) -> None:
        self.pixels = maps.shape[-1]
        self.corner = F.pad(maps.cumsum(1).cumsum(2), (1, 0, 1, 0)) / self.pixels**2

    def __call__(self, left: Tensor, top: Tensor, right: Tensor, bottom: Tensor) -> Float[Tensor, "b k"]:
        l, t, r, b = ((edge * self.pixels).round().long().clamp(0, self.pixels) for edge in (left, top, right, bottom))
        corner = self.corner
        return corner[:, b, r] - corner[:, t, r] - corner[:, b, l] + corner[:, t, l]


def _both(sums: _Sums, one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> Bool[Tensor, "b k"]:
    least = 0.9 / sums.pixels**2  # a pixel
    return (sums(*one) >= least) & (sums(*other) >= least)
