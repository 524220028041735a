"""Where things should be and how large, by words: the tolerances of the judge.

Layouts keep well within them; see `sfumato.data.scenes.layout` for what each word means in sides of the picture.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from sfumato.data.scenes.description import PLACES, SPATIAL, Description, Group
from sfumato.data.scenes.sprites import Pack
from sfumato.data.scenes.touching import touching
from sfumato.evaluation.seeing.sight import Found

SMALL = 0.265  # at most
BIG, BIG_ALONE = 0.43, 0.525  # at least
BEGINNING, END = 0.42, 0.58  # of a side: before it, behind it
MIDDLE = 0.18  # from the middle of a side, at most
APART = 0.3  # of the sum of two sizes lies between the middles of things that stand beside each other
LEVEL = 0.35  # of a size, at most, between the heights of things in a row
NEAR = 0.17  # of the carrier's size, from where a thing is worn, held or put
SCALE = 1.4  # times larger or smaller than such things are
OVERLAP = 0.04  # of a picture side, in both directions, between things one of which is in front
EXAMPLES = 48  # of how two things may stand


class Seen(Protocol):
    """What is judged here: a group and its things."""

    group: Group
    name: str
    things: list[Found]

    @property
    def the(self) -> str: ...


def missized(match: Seen, groups: Sequence[Seen]) -> Iterator[str]:
    """Things that are not as small or big as was asked for."""
    alone = len(groups) == 1 and match.group.count == 1 and not match.group.place
    for thing in match.things:
        if match.group.size == "small" and thing.size > SMALL:
            yield f"the {match.name} is not small"
        if match.group.size == "big" and thing.size < (BIG_ALONE if alone else BIG):
            yield f"the {match.name} is not big"


def misplaced(match: Seen) -> Iterator[str]:
    """Things that are elsewhere in the picture, or not in a row."""
    group = match.group
    if group.place and match.things:
        x = sum(thing.x for thing in match.things) / len(match.things)
        y = sum(thing.y for thing in match.things) / len(match.things)
        column, row = PLACES[group.place]
        if not ((group.count > 1 or _at(column, x)) and _at(row, y)):
            yield f"{match.the} {_be(group)} at the {_place(x, y)}, not {group.place}"
    if group.arrangement and len(match.things) > 1:
        heights = [thing.y for thing in match.things]
        if max(heights) - min(heights) > LEVEL * max(thing.size for thing in match.things):
            yield f"{match.the} {_be(group)} not in a row"


def unrelated(description: Description, one: Seen, two: Seen, painted: Sequence[Found], pack: Pack) -> Iterator[str]:
    """Whether the first two groups stand as they should; `painted` are all things from the back to the front."""
    relation = description.relation
    if relation in SPATIAL:
        if not _beside(relation, one.things, two.things):
            yield f"{one.the} {_be(one.group)} {_standing(one.things, two.things)} {two.the}, not {relation} it"
        return
    first, second = one.things[0], two.things[0]
    in_front = painted.index(first) > painted.index(second)
    if relation in ("in front of", "behind"):
        if not _overlap(first, second):
            yield f"{one.the} and {two.the} are apart, so that none is {relation} the other"
        elif in_front != (relation == "in front of"):
            yield f"{one.the} is {'in front of' if in_front else 'behind'} {two.the}, not {relation} it"
    elif not _as_it_should(description, first, second, pack):
        yield f"{one.the} is {_standing([first], [second])} {two.the}, not {relation} it"
    elif relation == "inside" and in_front:
        yield f"{one.the} is in front of {two.the}, not inside it"


def _at(part: int, along: float) -> bool:
    """Whether a middle is at the beginning (-1), middle (0) or end (1) of a side."""
    return along <= BEGINNING if part < 0 else along >= END if part > 0 else abs(along - 0.5) <= MIDDLE


def _place(x: float, y: float) -> str:
    column, row = ((along > 2 / 3) - (along < 1 / 3) for along in (x, y))
    return next(name for name, place in PLACES.items() if place == (column, row))


def _beside(relation: str, ones: Sequence[Found], twos: Sequence[Found]) -> bool:
    if relation in ("right of", "below"):
        ones, twos = twos, ones
    across = relation in ("left of", "right of")
    return all(
        (two.x - one.x if across else two.y - one.y) >= APART * (one.size + two.size) for one in ones for two in twos
    )


def _standing(ones: Sequence[Found], twos: Sequence[Found]) -> str:
    """How things stand to others, in a word of space."""
    x = sum(one.x for one in ones) / len(ones) - sum(two.x for two in twos) / len(twos)
    y = sum(one.y for one in ones) / len(ones) - sum(two.y for two in twos) / len(twos)
    if abs(x) >= abs(y):
        return "right of" if x > 0 else "left of"
    return "below" if y > 0 else "above"


def _overlap(one: Found, two: Found) -> bool:
    covered = (one.cover > 0.3) & (two.cover > 0.3)
    return bool(covered.any()) and (one.size + two.size) / 2 - max(abs(one.x - two.x), abs(one.y - two.y)) > OVERLAP


def _as_it_should(description: Description, first: Found, second: Found, pack: Pack) -> bool:
    """Whether two things stand to each other as they do in some layout of their relation."""
    x, y, scale = second.x - first.x, second.y - first.y, second.size / first.size
    carrier = second.size if description.relation == "inside" else first.size
    unit = carrier / first.size
    bare = Description(description.groups[:2], description.relation)
    return any(
        abs(x / first.size - dx) <= NEAR * unit
        and abs(y / first.size - dy) <= NEAR * unit
        and 1 / SCALE <= scale / ratio <= SCALE
        for dx, dy, ratio in _layouts(bare, pack)
    )


@lru_cache(maxsize=64)
def _layouts(description: Description, pack: Pack) -> tuple[tuple[float, float, float], ...]:
    """Where the second thing is, in sizes of the first and from its middle, and how many times its size it has."""
    told = []
    for seed in range(EXAMPLES):
        things = {thing.concept: thing for thing in touching(description, pack, random.Random(seed))}
        one, two = (things[group.concept] for group in description.groups)
        told.append(((two.x - one.x) / one.size, (two.y - one.y) / one.size, two.size / one.size))
    return tuple(told)


def _be(group: Group) -> str:
    return "is" if group.count == 1 else "are"
