"""What a scene shows, as words could say it: the truth that captions are made of and pictures are judged by."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

SIZES = ("small", "big")
ARRANGEMENTS = ("row", "pair")
PLAIN = "white"

# Column and row of each place: -1 before the middle, 0 in it, 1 behind it.
PLACES = {
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
    "centre": (0, 0),
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
}
SPATIAL = ("left of", "right of", "above", "below")
TOUCHING = ("wearing", "holding", "inside", "in front of", "behind")
RELATIONS = SPATIAL + TOUCHING

# What a description can ask for, named after the hardest of it.
CATEGORIES = (
    "single",
    "two",
    "three",
    "counting",
    "colour",
    "binding",
    "position",
    "size",
    "relation",
    "background",
)


@dataclass(frozen=True)
class Group:
    """Some things of one kind: "three small red apples".

    Args:
        concept: Its number in the pack.
        count: How many, 1 to 9.
        colour: One of `colours.TINTS`, or None: as it is.
        size: One of `SIZES`, or None: of middle size.
        upside_down: Whether they stand on their heads.
        place: One of `PLACES`, or None: anywhere.
        arrangement: "row", "pair" (of two), or None.
    """

    concept: int
    count: int = 1
    colour: str | None = None
    size: str | None = None
    upside_down: bool = False
    place: str | None = None
    arrangement: str | None = None


@dataclass(frozen=True)
class Description:
    """What stands in a picture, and before what.

    Args:
        groups: One to three groups. Two of the same concept have different colours.
        relation: One of `RELATIONS`, of the first group to the second.
        background: One of `colours.BACKGROUNDS`.
    """

    groups: tuple[Group, ...]
    relation: str | None = None
    background: str = PLAIN

    def relations(self) -> list[tuple[str, int, int]]:
        """All relations that are stated, by word or by place: (relation, first group's number, second's)."""
        stated = [(self.relation, 0, 1)] if self.relation else []
        placed = [(i, PLACES[group.place]) for i, group in enumerate(self.groups) if group.place]
        for (one, (column, row)), (two, (other_column, other_row)) in combinations(placed, 2):
            if column != other_column:
                stated.append(("left of" if column < other_column else "right of", one, two))
            if row != other_row:
                stated.append(("above" if row < other_row else "below", one, two))
        return stated


@dataclass(frozen=True)
class Said:
    """What a caption says; where it says nothing, it says nothing wrong.

    Args:
        groups: What there is, as in a `Description`; sizes, places and arrangements that are None are not told.
        relation: One of "left of", "above", "wearing", "holding", "inside" and "in front of", of the first group to
            the second; None: not told.
        background: One of `colours.BACKGROUNDS`; None: not told.
    """

    groups: tuple[Group, ...]
    relation: str | None = None
    background: str | None = None

    @property
    def claims(self) -> int:
        """How much is said: a number that grows with every thing and every fact."""
        told: list[object] = [self.relation, self.background]
        for group in self.groups:
            told += [True, group.count > 1, group.colour, group.size, group.upside_down, group.place, group.arrangement]
        return sum(map(bool, told))

    def description(self) -> Description:
        """A description of a scene in which it is true: before the plain background where none is told."""
        return Description(self.groups, self.relation, self.background or PLAIN)


def category(description: Description) -> str:
    """The one of `CATEGORIES` that a description tests: the hardest of what it asks for.

    Example:
        >>> category(Description((Group(3, count=5, colour="red"),), background="blue"))
        'counting'
    """
    groups = description.groups
    if description.relation in TOUCHING:
        return "relation"
    if description.relation or any(group.place for group in groups):
        return "position"
    if any(group.count > 1 for group in groups):
        return "counting"
    if any(group.size for group in groups):
        return "size"
    if len(groups) > 1 and any(group.colour for group in groups):
        return "binding"
    if len(groups) > 1:
        return "two" if len(groups) == 2 else "three"
    if description.background != PLAIN:
        return "background"
    return "colour" if groups[0].colour else "single"
