"""Whether what a caption says is so: every fact in which it differs from what is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from sfumato.data.scenes.description import Description, Group, Said
from sfumato.data.scenes.held_out import MIRRORED

FACTS = ("thing", "count", "colour", "size", "way up", "place", "arrangement", "relation", "background")

Value = str | int | bool | None
Pairing = list[tuple[Group | None, Group | None]]  # what is said with what is shown


@dataclass(frozen=True)
class Disagreement:
    """A fact that is not as it is said.

    Args:
        fact: One of `FACTS`.
        said: What is said, of a thing its concept's number; None where a thing or its colour is kept silent.
        shown: What is shown in its place; None where that is nothing. (A relation may differ by its sides alone.)
        concept: The number of the concept that it is said of (or not said of, where a thing is kept silent); None for
            relations and backgrounds.
    """

    fact: str
    said: Value
    shown: Value
    concept: int | None = None


def disagreements(said: Said, shown: Description, partial: bool = False) -> list[Disagreement]:
    """What a caption says wrongly of a scene; nothing when it is true.

    Backgrounds, sizes, places, arrangements and relations may be left out. What is said of them and not stated in the
    description counts as wrong: nobody arranged it so.

    Args:
        said: What the caption says.
        shown: What the scene shows.
        partial: Whether captions may also leave out things, their colours and which way up they stand. Otherwise
            silence about them says that they are not there, as they are and upright.

    Example:
        >>> disagreements(Said((Group(0, 3),)), Description((Group(0, 4),), background="red"))
        [Disagreement(fact='count', said=3, shown=4, concept=0)]
    """
    pairings = (_pairing(said.groups, order) for order in _orders(shown.groups, len(said.groups)))
    return min((list(_differences(pairing, said, shown, partial)) for pairing in pairings), key=_weight)


def least_disagreements(readings: Sequence[Said], shown: Description, partial: bool = False) -> list[Disagreement]:
    """The same for a caption with several readings: the one that is nearest to the truth was meant."""
    return min((disagreements(said, shown, partial) for said in readings), key=_weight)


def _weight(found: list[Disagreement]) -> tuple[int, int]:
    """Wrong things weigh more than what is said wrongly of the right ones."""
    return sum(each.fact == "thing" for each in found), len(found)


def _orders(groups: tuple[Group, ...], count: int) -> Iterator[tuple[Group | None, ...]]:
    return permutations((*groups, *[None] * (count - len(groups))))


def _pairing(groups: tuple[Group, ...], order: tuple[Group | None, ...]) -> Pairing:
    return list(zip((*groups, *[None] * (len(order) - len(groups))), order, strict=True))


def _differences(pairing: Pairing, said: Said, shown: Description, partial: bool) -> Iterator[Disagreement]:
    for one, other in pairing:
        yield from _of_group(one, other, partial)
    if said.relation and not _stated(pairing, said.relation, shown):
        yield Disagreement("relation", said.relation, shown.relation)
    if said.background and said.background != shown.background:
        yield Disagreement("background", said.background, shown.background)


def _of_group(said: Group | None, shown: Group | None, partial: bool) -> Iterator[Disagreement]:
    if said is None or shown is None:
        if said is not None:
            yield Disagreement("thing", said.concept, None, said.concept)
        elif shown is not None and not partial:
            yield Disagreement("thing", None, shown.concept, shown.concept)
        return
    told = {
        "count": (said.count, shown.count),
        "colour": (said.colour, shown.colour),
        "size": (said.size, shown.size),
        "way up": (said.upside_down, shown.upside_down),
        "place": (said.place, shown.place),
        "arrangement": (said.arrangement, shown.arrangement),
    }
    if said.concept != shown.concept:
        yield Disagreement("thing", said.concept, shown.concept, said.concept)
    for fact, (one, other) in told.items():
        silent = not one and (partial or fact in ("size", "place", "arrangement"))
        if one != other and not silent:
            yield Disagreement(fact, one, other, said.concept)


def _stated(pairing: Pairing, relation: str, shown: Description) -> bool:
    """Whether a relation of the first two things that are said is one of those that are shown."""
    one, two = (other for _, other in pairing[:2])
    for name, first, second in shown.relations():
        pair = (shown.groups[first], shown.groups[second])
        if name in MIRRORED:
            name, pair = MIRRORED[name], pair[::-1]
        if name == relation and pair == (one, two):
            return True
    return False
