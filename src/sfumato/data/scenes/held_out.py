"""What no training picture ever shows: a fixed tenth of all combinations, chosen by their names alone.

Held out are pairs of concepts that stand in one picture, concepts in a colour, and two concepts in a relation. The
choice is a SHA-256 of the names, so that it is the same for every pack, machine and version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfumato.data.scenes.description import Description
    from sfumato.data.scenes.scene import Scene, Thing

SHARE = 0.1
MIRRORED = {"right of": "left of", "below": "above", "behind": "in front of"}
_THRESHOLD = int(SHARE * 2**64)


def pair_held_out(one: str, other: str) -> bool:
    """Whether two concepts never share a picture; the order does not matter, and one is no pair with itself."""
    return one != other and _chosen("pair", *sorted((one, other)))


def colour_held_out(colour: str, name: str) -> bool:
    """Whether a concept never has a colour."""
    return _chosen("colour", colour, name)


def relation_held_out(relation: str, first: str, second: str) -> bool:
    """Whether two concepts never stand in a relation; "a right of b" is "b left of a"."""
    if relation in MIRRORED:
        relation, first, second = MIRRORED[relation], second, first
    return _chosen("relation", relation, first, second)


def is_held_out(description: Description, names: Sequence[str]) -> bool:
    """Whether a description asks for anything held out.

    Args:
        description: What a picture shall show.
        names: The names of the pack's concepts, in its order.
    """
    groups = description.groups
    return (
        any(pair_held_out(names[one.concept], names[two.concept]) for one, two in combinations(groups, 2))
        or any(group.colour is not None and colour_held_out(group.colour, names[group.concept]) for group in groups)
        or any(
            relation_held_out(relation, names[groups[first].concept], names[groups[second].concept])
            for relation, first, second in description.relations()
        )
    )


def shows_held_out(scene: Scene, names: Sequence[str]) -> bool:
    """Whether a scene shows a held-out relation that nobody asked for: things that happen to stand so.

    All things of one concept count together: cats are left of dogs where every cat is left of every dog.
    """
    by_concept: dict[int, list[Thing]] = {}
    for thing in scene.things:
        by_concept.setdefault(thing.concept, []).append(thing)
    return any(
        relation_held_out(relation, names[first], names[second])
        for (one, ones), (two, twos) in combinations(by_concept.items(), 2)
        for relation, first, second in _standing(one, ones, two, twos)
    )


def _standing(one: int, ones: list[Thing], two: int, twos: list[Thing]) -> list[tuple[str, int, int]]:
    """How two kinds of things stand to each other, where there is free space between them."""
    left, top, right, bottom = _box(ones)
    other_left, other_top, other_right, other_bottom = _box(twos)
    found = []
    if right <= other_left:
        found.append(("left of", one, two))
    elif other_right <= left:
        found.append(("left of", two, one))
    if bottom <= other_top:
        found.append(("above", one, two))
    elif other_bottom <= top:
        found.append(("above", two, one))
    return found


def _box(things: list[Thing]) -> tuple[float, float, float, float]:
    return (
        min(thing.x - thing.size / 2 for thing in things),
        min(thing.y - thing.size / 2 for thing in things),
        max(thing.x + thing.size / 2 for thing in things),
        max(thing.y + thing.size / 2 for thing in things),
    )


def _chosen(*words: str) -> bool:
    return int.from_bytes(hashlib.sha256("|".join(words).encode()).digest()[:8], "big") < _THRESHOLD
