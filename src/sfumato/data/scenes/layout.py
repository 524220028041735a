"""From words to places: a scene whose geometry is what its description says, and otherwise left to chance."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from sfumato.data.scenes.description import PLACES, SPATIAL, TOUCHING, Description, Group
from sfumato.data.scenes.scene import Scene, Thing
from sfumato.data.scenes.sprites import Pack
from sfumato.data.scenes.touching import Box, boxed, extents, touching

# The sizes of things, in picture sides, by how many there are; what words say of sizes comes before it.
SIZE_AMONG = {1: (0.38, 0.49), 2: (0.33, 0.44), 3: (0.28, 0.38), 4: (0.28, 0.38), 5: (0.26, 0.305), 6: (0.26, 0.305)}
SIZE_AMONG_MANY = (0.25, 0.29)
SMALL = (0.19, 0.235)
BIG_ALONE = (0.56, 0.85)
BIG_AMONG = (0.5, 0.58)
BESIDE_BIG = (0.26, 0.34)

# How many things stand in each row (or column) when they stand in rows.
ROWS: dict[int, list[tuple[int, ...]]] = {
    1: [(1,)],
    2: [(2,), (1, 1)],
    3: [(3,), (1, 2), (2, 1), (1, 1, 1)],
    4: [(2, 2), (2, 2), (1, 2, 1), (1, 3), (3, 1)],
    5: [(2, 3), (3, 2), (2, 1, 2)],
    6: [(3, 3), (2, 2, 2), (1, 2, 3)],
    7: [(2, 3, 2), (3, 2, 2), (2, 2, 3), (3, 1, 3)],
    8: [(3, 2, 3), (3, 3, 2), (2, 3, 3)],
    9: [(3, 3, 3)],
}
GAP = 0.015  # between things that stand apart by chance
CLEAR_GAP = 0.05  # between things that stand apart because words say so

Spot = tuple[float, float]


def lay_out(description: Description, pack: Pack, rng: random.Random) -> Scene:
    """A scene that shows a description.

    Everything lies inside the picture. Things overlap only where a relation asks for it: worn things sit on heads and
    before eyes, held ones at a lower corner of the holder, things inside a container stick out of it, and what stands
    in front hides a part of what is behind.

    Args:
        description: What it shall show.
        pack: What the things look like.
        rng: Where chance comes from; the same state gives the same scene.
    """
    if description.relation in TOUCHING:
        things = _touching(description, pack, rng)
    elif description.relation in SPATIAL:
        things = _apart(description, rng)
    elif description.groups[0].place:
        things = [thing for group in description.groups for thing in _placed(group, len(description.groups), rng)]
    elif description.groups[0].arrangement:
        things = _lined_up(description.groups[0], rng)
    else:
        things = _anywhere(description.groups, rng)
    return Scene(description.background, tuple(things), description)


def _anywhere(groups: Sequence[Group], rng: random.Random) -> list[Thing]:
    """Things at places of no importance: strewn when they are few, in loose rows when they are many."""
    sizes = _sizes(groups, rng)
    members = [group for group in groups for _ in range(group.count)]
    if len(members) > 3:
        spots = _in_rows(sizes, rng, mixed=len(groups) == 1 or rng.random() < 0.5)
    elif len(members) > 1 and sum(sizes) < 0.95 and rng.random() < 0.5:
        spots = _beside(sizes, rng)
    else:
        spots = _strewn([(size, size) for size in sizes], rng) or _in_corners(sizes, rng)
    return [_thing(group, spot, size) for group, spot, size in zip(members, spots, sizes, strict=True)]


def _sizes(groups: Sequence[Group], rng: random.Random) -> list[float]:
    """The size of every thing, group after group."""
    total = sum(group.count for group in groups)
    usual = rng.uniform(*SIZE_AMONG.get(total, SIZE_AMONG_MANY))
    most = 1.0 if total < 3 else 0.95 / math.ceil(math.sqrt(total))
    some_big = any(group.size == "big" for group in groups)
    sizes = []
    for group in groups:
        if group.size == "small":
            size = rng.uniform(*SMALL)
        elif group.size == "big":
            size = rng.uniform(*(BIG_ALONE if total == 1 else BIG_AMONG))
        else:
            size = rng.uniform(*BESIDE_BIG) if some_big else usual * rng.uniform(0.97, 1.03)
        size = min(size, most)
        sizes += [size * rng.uniform(0.98, 1.02) for _ in range(group.count)] if group.count > 1 else [size]
    return sizes


def _strewn(boxes: Sequence[Box], rng: random.Random) -> list[Spot] | None:
    """Middles of boxes that lie inside the picture and apart, the larger ones thrown first; None when luck fails."""
    spots: dict[int, Spot] = {}
    for number in sorted(range(len(boxes)), key=lambda number: -boxes[number][0] * boxes[number][1]):
        width, height = boxes[number]
        for _ in range(24):
            x, y = _within(width, rng.random()), _within(height, rng.random())
            if all(
                abs(x - spots[other][0]) >= (width + boxes[other][0]) / 2 + GAP
                or abs(y - spots[other][1]) >= (height + boxes[other][1]) / 2 + GAP
                for other in spots
            ):
                spots[number] = (x, y)
                break
        else:
            return None
    return [spots[number] for number in range(len(boxes))]


def _in_corners(sizes: Sequence[float], rng: random.Random) -> list[Spot]:
    """Two things in opposite corners, or three in rows: what always fits."""
    if len(sizes) != 2:
        return _in_rows(sizes, rng, mixed=False)
    one, two = sizes
    spots = [(one / 2, one / 2), (1 - two / 2, 1 - two / 2)]
    return spots if rng.random() < 0.5 else [(1 - x, y) for x, y in spots]


def _beside(sizes: Sequence[float], rng: random.Random) -> list[Spot]:
    """Things side by side at about one height, in any order."""
    order = rng.sample(range(len(sizes)), len(sizes))
    middle = _within(max(sizes) + 0.08, rng.random())
    spots = dict.fromkeys(order, (0.0, 0.0))
    slack = (1 - sum(sizes)) / (len(sizes) + 1)
    left = 0.0
    for number in order:
        left += slack * rng.uniform(0.3, 1.0)
        spots[number] = (left + sizes[number] / 2, middle + rng.uniform(-0.04, 0.04))
        left += sizes[number] + 0.3 * slack
    return [spots[number] for number in range(len(sizes))]


def _in_rows(sizes: Sequence[float], rng: random.Random, mixed: bool) -> list[Spot]:
    """Loose rows or columns over the whole picture; mixed when things of one group may stand anywhere."""
    known = ROWS.get(len(sizes)) or [_even_rows(len(sizes))]
    rows = rng.choice([rows for rows in known if max(sizes) * max(*rows, len(rows)) <= 0.98])
    across = rng.random() < 0.5
    order = rng.sample(range(len(sizes)), len(sizes)) if mixed else list(range(len(sizes)))
    spots = [(0.0, 0.0)] * len(sizes)
    numbers = iter(order)
    for row, length in enumerate(rows):
        for column in range(length):
            number = next(numbers)
            x = _in_cell(column, length, sizes[number], rng)
            y = _in_cell(row, len(rows), sizes[number], rng)
            spots[number] = (x, y) if across else (y, x)
    return spots


def _even_rows(count: int) -> tuple[int, ...]:
    """Rows for more than a language draws, in a square as small as can be."""
    longest = math.ceil(math.sqrt(count))
    full, rest = divmod(count, longest)
    return (longest,) * full + (rest,) * (rest > 0)


def _in_cell(cell: int, cells: int, size: float, rng: random.Random) -> float:
    """Where a thing stands in one of several equal parts of a side; no further than 0.12 from its middle."""
    slack = min(max(1 / cells - size - GAP, 0.0) / 2, 0.12)
    return (cell + 0.5) / cells + rng.uniform(-slack, slack)


def _lined_up(group: Group, rng: random.Random) -> list[Thing]:
    """A row, or a pair: close together, at one height."""
    pitch = min(rng.uniform(0.32, 0.44), rng.uniform(0.94, 1.0) / group.count)
    size = pitch / rng.uniform(1.06, 1.12)
    left = rng.uniform(0, 1 - pitch * group.count)
    y = _along(PLACES[group.place][1], size, 0.08, rng) if group.place else _within(size, rng.random())
    return [_thing(group, (left + pitch * (number + 0.5), y), size) for number in range(group.count)]


def _placed(group: Group, groups: int, rng: random.Random) -> list[Thing]:
    """A thing at the place that words give it; the more there are, the more exactly."""
    if group.arrangement or group.count > 1:
        return _lined_up(group, rng)
    sized = {"small": SMALL, "big": (0.5, 0.55)}
    usual = {1: (0.28, 0.42), 2: (0.28, 0.38), 3: (0.25, 0.28)}
    size = rng.uniform(*sized.get(group.size or "", usual[groups]))
    column, row = PLACES[group.place or "centre"]
    slack = {1: 0.08, 2: 0.06, 3: 0.03}[groups]
    return [_thing(group, (_along(column, size, slack, rng), _along(row, size, slack, rng)), size)]


def _along(part: int, size: float, slack: float, rng: random.Random) -> float:
    """The middle of a thing at the beginning (-1), middle (0) or end (1) of a side."""
    if part == 0:
        return 0.5 + rng.uniform(-slack, slack)
    near = size / 2 + rng.uniform(0, slack)
    return near if part < 0 else 1 - near


def _apart(description: Description, rng: random.Random) -> list[Thing]:
    """Two groups on two sides of a clear gap; each of several things stands in line across it."""
    sizes = [_size_apart(description.groups, number, rng) for number in (0, 1)]
    sizes = [size * min(1.0, 0.93 / sum(sizes)) for size in sizes]
    slack = 1 - sum(sizes) - CLEAR_GAP
    before, between, _ = _shares(slack, rng)
    first = before + sizes[0] / 2
    second = before + sizes[0] + CLEAR_GAP + between + sizes[1] / 2
    if description.relation in ("right of", "below"):
        first, second = 1 - first, 1 - second
    level = _within(max(sizes) + 0.1, rng.random())
    things = []
    for group, size, along in zip(description.groups, sizes, (first, second), strict=True):
        for number in range(group.count):
            if group.count == 1:
                across = level + rng.uniform(-0.05, 0.05)
            else:
                across = _in_cell(number, group.count, size, rng)
            spot = (along, across) if description.relation in ("left of", "right of") else (across, along)
            things.append(_thing(group, spot, size))
    return things


def _size_apart(groups: Sequence[Group], number: int, rng: random.Random) -> float:
    group, other = groups[number], groups[1 - number]
    if group.size:
        size = rng.uniform(*(SMALL if group.size == "small" else (0.5, 0.55)))
    elif other.size == "big":
        size = rng.uniform(*BESIDE_BIG)
    else:
        size = rng.uniform(*{1: (0.32, 0.42), 2: (0.28, 0.38)}.get(group.count, (0.26, 0.3)))
    return min(size, 0.95 / group.count)


def _shares(whole: float, rng: random.Random) -> tuple[float, float, float]:
    """A length cut in three at random."""
    one, two = sorted((rng.random(), rng.random()))
    return whole * one, whole * (two - one), whole * (1 - two)


def _touching(description: Description, pack: Pack, rng: random.Random) -> list[Thing]:
    """Two things that overlap as their relation asks, drawn as one, and sometimes a third beside them."""
    crowd = len(description.groups) > 2
    shapes = extents(pack)
    things, box = boxed(touching(description, pack, rng), shapes, rng.uniform(*((0.52, 0.6) if crowd else (0.62, 0.9))))
    spots = [(_within(box[0], rng.random()), _within(box[1], rng.random()))]
    rest = []
    if crowd:
        size = rng.uniform(0.24, 0.34)
        corners = [(box[0] / 2, box[1] / 2), (1 - size / 2, 1 - size / 2)]
        spots = _strewn([box, (size, size)], rng) or corners
        rest = [_thing(description.groups[2], spots[1], size)]
    x, y = spots[0]
    moved = [
        Thing(thing.concept, thing.x + x, thing.y + y, thing.size, thing.colour, thing.upside_down) for thing in things
    ]
    return moved + rest


def _within(length: float, share: float) -> float:
    """The middle of something of a length, at a share 0 to 1 of the way from one edge to the other."""
    return length / 2 + share * (1 - length)


def _thing(group: Group, spot: Spot, size: float) -> Thing:
    return Thing(group.concept, spot[0], spot[1], size, group.colour, group.upside_down)
