"""Are a model's scenes its own? How they differ from seed to seed, and how far they are from training pictures."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.stream import Scenes
from sfumato.evaluation.novelty import nearest_distances
from sfumato.evaluation.seeing.sight import Sight

SMALL = 32  # pixels a side at which pictures are compared
TOGETHER = 256  # scenes that are composed at a time


class Variety(NamedTuple):
    """How pictures of one prompt differ.

    Attributes:
        distance: The mean root-mean-square distance of two of them, at 32 pixels a side; 0 is the same again and again.
        places: The mean distance, in picture sides, between where they show the same thing; 0 is always in one place.
    """

    distance: float
    places: float


def variety(pictures: Float[Tensor, "prompts seeds 3 s s"], sights: list[list[Sight]]) -> Variety:
    """How different the pictures of each prompt are; at least 2 of each."""
    small = F.interpolate(pictures.flatten(0, 1), (SMALL, SMALL), mode="bilinear", antialias=True).flatten(1)
    rows = small.unflatten(0, pictures.shape[:2])
    seeds = rows.shape[1]
    apart = torch.cdist(rows, rows).sum((1, 2)) / (seeds * (seeds - 1)) / rows.shape[-1] ** 0.5
    places = [distance for seen in sights for distance in _between(seen)]
    return Variety(apart.mean().item(), sum(places) / len(places) if places else 0.0)


def _between(sights: list[Sight]) -> list[float]:
    """Distances between the first things of a concept in every two pictures."""
    firsts = [{thing.look.concept: (thing.x, thing.y) for thing in reversed(sight.things)} for sight in sights]
    return [
        ((one[concept][0] - two[concept][0]) ** 2 + (one[concept][1] - two[concept][1]) ** 2) ** 0.5
        for n, one in enumerate(firsts)
        for two in firsts[n + 1 :]
        for concept in one.keys() & two.keys()
    ]


class Memory(NamedTuple):
    """Distances to the nearest of some training pictures, root mean square in [-1, 1].

    Attributes:
        made: Of made pictures, the median.
        closest: Of made pictures, the least; a copy has nearly 0.
        real: Of scenes that are not among them, the median: what is usual.
        known: How many training pictures were looked at.
    """

    made: float
    closest: float
    real: float
    known: int


def memorised(pictures: Float[Tensor, "n 3 s s"], stream: Scenes, count: int = 4096) -> Memory:
    """How near made pictures are to the first `count` of a stream's training scenes, and as many fresh ones as made."""
    known = _composed(stream, range(count))
    fresh = _composed(stream, range(count, count + len(pictures)))
    made, real = (nearest_distances(some.cpu(), known, SMALL)[0] for some in (pictures, fresh))
    return Memory(made.median().item(), made.min().item(), real.median().item(), count)


def _composed(stream: Scenes, numbers: range) -> Float[Tensor, "n 3 s s"]:
    parts = []
    for first in range(numbers.start, numbers.stop, TOGETHER):
        some = range(first, min(first + TOGETHER, numbers.stop))
        parts.append(compose([stream.scene(number) for number in some], stream.pack, SMALL))
    return torch.cat(parts)
