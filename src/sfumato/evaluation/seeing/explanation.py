"""How a batch of pictures is explained so far: a background each, and things from the back to the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.evaluation.seeing.fitting import Place, cost
from sfumato.evaluation.seeing.windows import Boxes


@dataclass
class Laid:
    """A look laid on a picture.

    Args:
        look: Its number.
        box: x, y and size.
        layer: What it paints: colours times cover, and cover.
    """

    look: int
    box: Float[Tensor, "3"]
    layer: Float[Tensor, "4 s s"]

    @property
    def cover(self) -> Float[Tensor, "1 s s"]:
        """How much of each pixel it covers."""
        return self.layer[3:]

    def over(self, canvas: Float[Tensor, "3 s s"]) -> Float[Tensor, "3 s s"]:
        """It on a canvas."""
        return self.layer[:3] + (1 - self.cover) * canvas


@dataclass
class Explanation:
    """Pictures, the grounds behind all things, and the things of each."""

    pictures: Float[Tensor, "n 3 s s"]
    grounds: Float[Tensor, "n 3 s s"]
    things: list[list[Laid]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.things = self.things or [[] for _ in self.pictures]

    def painted(self) -> Float[Tensor, "n 3 s s"]:
        """How the pictures look as explained."""
        return torch.stack([_painted(ground, things) for ground, things in zip(self.grounds, self.things, strict=True)])

    def covered(self) -> Float[Tensor, "n 1 s s"]:
        """How much of each pixel things cover."""
        return torch.stack([1 - _through(things, self.grounds[0, :1]) for things in self.things])

    def take(self, other: Explanation, numbers: Sequence[int], thing_costs: float) -> None:
        """Take another explanation of the pictures of these numbers, where it is the simpler one.

        That is the one with less squared error, each thing counting as so much of it.
        """
        own, others = self.costs(thing_costs), other.costs(thing_costs)
        for j, i in enumerate(numbers):
            if others[j] < own[i]:
                self.things[i] = other.things[j]

    def costs(self, thing_costs: float) -> list[float]:
        """The squared error of each picture, in pixels, and so much for each thing."""
        wrong = cost(self.pictures - self.painted(), torch.ones_like(self.pictures[:, :1])).tolist()
        return [error + thing_costs * len(things) for error, things in zip(wrong, self.things, strict=True)]

    def each(self) -> list[tuple[int, int]]:
        """Every thing: the number of its picture, and its own in that."""
        return [(i, j) for i, things in enumerate(self.things) for j in range(len(things))]

    def places(self) -> Place:
        """Every thing's place among the others, in the order of `each`."""
        rows = [self._place(i, j) for i, j in self.each()]
        return Place(*(torch.stack(parts) for parts in zip(*rows, strict=True)))

    def _place(self, i: int, j: int) -> tuple[Tensor, ...]:
        things, ground = self.things[i], self.grounds[i]
        behind = _painted(ground, things[:j])
        through = _through(things[j + 1 :], ground[:1])
        base = _painted(behind, things[j + 1 :])
        return self.pictures[i], base, behind, through, torch.ones_like(through)

    def boxes(self) -> Boxes:
        """Every thing's box, in the order of `each`."""
        return torch.stack([self.things[i][j].box for i, j in self.each()])


def _painted(ground: Tensor, things: list[Laid]) -> Tensor:
    for thing in things:
        ground = thing.over(ground)
    return ground


def _through(things: list[Laid], like: Tensor) -> Tensor:
    through = torch.ones_like(like)
    for thing in things:
        through = through * (1 - thing.cover)
    return through
