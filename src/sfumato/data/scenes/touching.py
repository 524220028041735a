"""Things that overlap because a relation asks for it, as one little group around a middle of its own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from sfumato.data.scenes.concepts import Concept
from sfumato.data.scenes.description import Description, Group
from sfumato.data.scenes.scene import Thing
from sfumato.data.scenes.sprites import Pack

Box = tuple[float, float]  # width and height

VISIBLE = 32  # alpha from which on a pixel counts as seen
SUNK = {"wearing": (0.10, 0.16), "inside": (0.3, 0.4)}  # the share of the upper thing that lies below the edge


@lru_cache(maxsize=8)
def extents(pack: Pack) -> tuple[Box, ...]:
    """Width and height of what is seen of each sprite, in sides of its square; the longer is about 1."""
    seen = pack.pixels[:, 3] >= VISIBLE
    side = seen.shape[-1]
    widths, heights = seen.any(1).sum(1) / side, seen.any(2).sum(1) / side
    return tuple(zip(widths.tolist(), heights.tolist(), strict=True))


@lru_cache(maxsize=8)
def rims(pack: Pack) -> tuple[float, ...]:
    """How far above its middle the top of each sprite is, in sides: where something looks out of a container.

    It is the top in the middle of the sprite; a handle or a tap at a side is none.
    """
    seen = pack.pixels[:, 3] >= VISIBLE
    side = seen.shape[-1]
    broad = seen[:, :, side // 3 : side - side // 3].float().mean(2) >= 0.5
    first = broad.int().argmax(1)
    return tuple((0.5 - first / side).tolist())


def touching(description: Description, pack: Pack, rng: random.Random) -> list[Thing]:
    """The first two groups of a description in their relation, from the back to the front.

    Places and sizes are such that the one that carries the other (or stands behind it) has size 1 and its middle at
    the origin.
    """
    one, two = description.groups[:2]
    shapes = extents(pack)
    box, other = shapes[one.concept], shapes[two.concept]
    if description.relation == "wearing":
        return [_body(one), _worn(two, pack.concepts[one.concept], pack.concepts[two.concept], other, rng)]
    if description.relation == "holding":
        return [_body(one), _held(two, box, other, rng)]
    if description.relation == "inside":
        return [_contained(one, box, other[0], rims(pack)[two.concept], rng), _body(two)]
    if description.relation == "in front of":
        return [_body(two), _in_front(one, box, other, rng)]
    return [_body(one), _in_front(two, other, box, rng)]


def boxed(things: Sequence[Thing], shapes: Sequence[Box], side: float) -> tuple[list[Thing], Box]:
    """The same things around the middle of all that is seen of them, the longer side of which is `side`.

    Returns:
        The things, and the width and height of all together.
    """
    left = min(thing.x - thing.size * shapes[thing.concept][0] / 2 for thing in things)
    right = max(thing.x + thing.size * shapes[thing.concept][0] / 2 for thing in things)
    top = min(thing.y - thing.size * shapes[thing.concept][1] / 2 for thing in things)
    bottom = max(thing.y + thing.size * shapes[thing.concept][1] / 2 for thing in things)
    scale = side / max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    moved = [
        Thing(thing.concept, scale * (thing.x - x), scale * (thing.y - y), scale * thing.size, thing.colour)
        for thing in things
    ]
    return moved, (scale * (right - left), scale * (bottom - top))


def _body(group: Group) -> Thing:
    return Thing(group.concept, 0.0, 0.0, 1.0, group.colour)


def _worn(group: Group, wearer: Concept, worn: Concept, box: Box, rng: random.Random) -> Thing:
    """A hat on the head, or glasses before the eyes."""
    if "glasses" in worn.roles:
        x, y, width = wearer.eyes or (0.5, 0.4, 0.6)
        return Thing(group.concept, x - 0.5, y - 0.5, width / box[0] * rng.uniform(0.98, 1.06), group.colour)
    x, y, width = wearer.head or (0.5, 0.0, 0.6)
    size = min(width / box[0] * rng.uniform(1.05, 1.2), 0.9 / box[1])
    height = size * box[1]
    bottom = y - 0.5 + height * rng.uniform(*SUNK["wearing"])
    return Thing(group.concept, x - 0.5 + rng.uniform(-0.02, 0.02), bottom - height / 2, size, group.colour)


def _held(group: Group, holder: Box, box: Box, rng: random.Random) -> Thing:
    """At the lower left or right of the holder, over its edge."""
    size = rng.uniform(0.42, 0.55)
    side = rng.choice((-1, 1))
    x = side * (holder[0] / 2 + size * box[0] * rng.uniform(0.0, 0.2))
    lowest = max(holder[1] / 2 - size * box[1] / 2, 0.1)
    return Thing(group.concept, x, rng.uniform(min(0.1, lowest), min(0.25, lowest)), size, group.colour)


def _contained(group: Group, box: Box, width: float, rim: float, rng: random.Random) -> Thing:
    """Behind a container and above it: its lower part is hidden, its upper part looks out over the rim."""
    size = min(width * rng.uniform(0.6, 0.75) / box[0], 0.95 / box[1])
    height = size * box[1]
    bottom = height * rng.uniform(*SUNK["inside"]) - rim
    return Thing(group.concept, width * rng.uniform(-0.05, 0.05), bottom - height / 2, size, group.colour)


def _in_front(group: Group, box: Box, back: Box, rng: random.Random) -> Thing:
    """Lower and to a side, so that a quarter to two fifths of the thing behind is hidden."""
    size = rng.uniform(0.85, 1.0)
    width, height = size * box[0], size * box[1]
    hidden = rng.uniform(0.27, 0.4) * back[0] * back[1]
    down = rng.uniform(0.05, 0.2)
    overlap_height = min(back[1] / 2, down + height / 2) - max(-back[1] / 2, down - height / 2)
    overlap_width = min(hidden / overlap_height, width, back[0])
    x = (back[0] + width) / 2 - overlap_width
    return Thing(group.concept, x * rng.choice((-1, 1)), down, size, group.colour)
