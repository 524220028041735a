"""Sprites laid on a picture exactly, and moved until they fit: analysis by synthesis."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.data.scenes.compose import coverage
from sfumato.evaluation.seeing.windows import Boxes

MOST = 0.6  # of a pixel's squared error counts: one wrong pixel is wrong, however wrong
NEAR = 0.3  # error of a colour from which on a pixel counts less in a fit (Huber)
NUDGE = 0.35  # of a pixel, over which slopes are measured

PARTS = ("picture", "base", "canvas", "through", "weights")


@dataclass(frozen=True)
class Place:
    """Where things are laid, one of `k` each: on `canvas`, seen through what stands in front.

    Args:
        picture: That is to be explained.
        base: All that explains it so far, without the thing.
        canvas: The part of it that is behind the thing.
        through: How much of what is laid there is seen, 0 to 1.
        weights: How much each pixel counts.
    """

    picture: Float[Tensor, "k 3 s s"]
    base: Float[Tensor, "k 3 s s"]
    canvas: Float[Tensor, "k 3 s s"]
    through: Float[Tensor, "k 1 s s"]
    weights: Float[Tensor, "k 1 s s"]

    def __getitem__(self, which: Tensor) -> Place:
        """Some of them, or some again and again."""
        return Place(*(getattr(self, name)[which] for name in PARTS))

    def halved(self) -> Place:
        """The same at half the resolution, where fits find their way from farther away."""
        return Place(*(F.avg_pool2d(getattr(self, name), 2) for name in PARTS))

    def with_layer(self, layer: Float[Tensor, "k 4 s s"]) -> Float[Tensor, "k 3 s s"]:
        """How it looks with the thing."""
        return self.base + self.through * (layer[:, :3] - layer[:, 3:] * self.canvas)


def layers(pixels: Float[Tensor, "k 4 a a"], boxes: Boxes, size: int) -> Float[Tensor, "k 4 size size"]:
    """Looks at their places in a picture of `size` pixels: each pixel is the mean of what lies on it."""
    x, y, side = (boxes * size).T
    across = coverage(x, side, size, pixels.shape[-1])
    down = coverage(y, side, size, pixels.shape[-2])
    rows = (down[:, None] @ pixels).flatten(1, 2)  # of all four channels one below the other
    return (rows @ across.mT).unflatten(1, (pixels.shape[1], size))


def cost(error: Float[Tensor, "k 3 s s"], weights: Float[Tensor, "k 1 s s"]) -> Float[Tensor, " k"]:
    """How wrong pictures are: squared errors, none of which counts for more than `MOST`."""
    return (weights[:, 0] * error.square().sum(1).clamp_max(MOST)).sum((1, 2))


def gains(place: Place, layer: Float[Tensor, "k 4 s s"]) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
    """How much less wrong the picture is with things than without; and the share of what they change that is right.

    The share is 1 for a thing that is there just so, 0 for one that makes nothing better.
    """
    there = place.with_layer(layer)
    gain = cost(place.picture - place.base, place.weights) - cost(place.picture - there, place.weights)
    return gain, gain / cost(there - place.base, place.weights).clamp_min(1e-3)


def fit(
    pixels: Float[Tensor, "k 4 a a"], boxes: Boxes, place: Place, steps: int
) -> tuple[Boxes, Float[Tensor, "k 4 s s"]]:
    """Move and size looks so that they explain their pictures best: Gauss-Newton steps, the best one kept."""
    size = place.picture.shape[-1]
    best, layer = boxes, layers(pixels, boxes, size)
    least = cost(place.picture - place.with_layer(layer), place.weights)
    boxes, trial = best, layer
    for _ in range(steps):
        boxes = _stepped(pixels, boxes, trial, place)
        trial = layers(pixels, boxes, size)
        now = cost(place.picture - place.with_layer(trial), place.weights)
        better = now < least
        least = torch.where(better, now, least)
        best = torch.where(better[:, None], boxes, best)
        layer = torch.where(better[:, None, None, None], trial, layer)
    return best, layer


def _stepped(pixels: Tensor, boxes: Boxes, layer: Tensor, place: Place) -> Boxes:
    size = place.picture.shape[-1]
    nudge = NUDGE / size
    x, y, side = boxes.T
    nudged = torch.cat(
        [
            torch.stack([x + nudge, y, side], 1),
            torch.stack([x, y + nudge, side], 1),
            torch.stack([x, y, side + 2 * nudge], 1),
        ]
    )
    moved = layers(pixels.repeat(3, 1, 1, 1), nudged, size).unflatten(0, (3, -1))
    change = moved - layer
    slopes = place.through * (change[:, :, :3] - change[:, :, 3:] * place.canvas)  # (3, k, 3, s, s), for a nudge
    error = place.picture - place.with_layer(layer)
    weights = place.weights * (NEAR / error.square().sum(1, keepdim=True).sqrt().clamp_min(NEAR))
    slopes = slopes.transpose(0, 1).flatten(2)  # (k, 3, pixels)
    weighted = slopes * weights.expand_as(error).flatten(1)[:, None]
    normal = weighted @ slopes.mT
    normal = normal + normal.diagonal(dim1=1, dim2=2).mean(1).add(1e-4)[:, None, None] * 1e-2 * torch.eye(3).to(normal)
    step = torch.linalg.solve(normal, weighted @ error.flatten(1)[..., None])[..., 0] * nudge  # (k, 3)
    most = 0.12 * side[:, None]
    return boxes + (step * step.new_tensor([1, 1, 2])).clamp(-most, most) if len(step) else boxes
