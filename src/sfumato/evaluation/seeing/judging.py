"""Is what was seen what was asked for? Every difference is told in plain English; no difference means right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from sfumato.data.scenes.description import Description, Group
from sfumato.data.scenes.sprites import Pack
from sfumato.data.words import article
from sfumato.evaluation.seeing.geometry import misplaced, missized, unrelated
from sfumato.evaluation.seeing.looks import Look
from sfumato.evaluation.seeing.sight import Found, Sight

UNEXPLAINED = 0.05  # of a picture may be unlike anything known: soft edges, a little noise
SAME = 0.4  # two of a kind that share so much of what they cover together are one that was seen twice


class Judgement(NamedTuple):
    """What is wrong with a picture: of what was asked for, and what is there besides."""

    missed: tuple[str, ...]
    besides: tuple[str, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """All of it; empty when the picture is right."""
        return self.missed + self.besides


@dataclass
class Matched:
    """A group that was asked for, and the things that are it."""

    group: Group
    name: str
    plural: str
    things: list[Found] = field(default_factory=list)

    @property
    def wanted(self) -> Look:
        """How each of the things should look."""
        return Look(self.group.concept, self.group.colour, self.group.upside_down)

    @property
    def the(self) -> str:
        """Which they are: "the cat", "the blue cats"."""
        colour = f"{self.group.colour} " if self.group.colour else ""
        return f"the {colour}{self.name if self.group.count == 1 else self.plural}"


def asked_looks(description: Description) -> list[Look]:
    """The looks that a description asks for, to be tried first by an `Eye`."""
    return [Look(group.concept, group.colour, group.upside_down) for group in description.groups]


def judged(sight: Sight, description: Description, pack: Pack) -> Judgement:
    """What is wrong with a picture.

    Args:
        sight: What was seen in it.
        description: What was asked for; a colour that is not told is the thing's own.
        pack: The sprites that both speak of.

    Returns:
        Missed are such as "asked for 3 apples, found 2", "the cat is red, not blue", "the car is right of the cat, not
        left of it", "the background is green, not white"; besides, "a dog that was not asked for".
    """
    groups, strangers = _matched(_distinct(sight.things), description, pack)
    missed = [
        *_counts(groups),
        *(fault for match in groups for fault in _looks(match)),
        *(fault for match in groups for fault in missized(match, groups)),
        *(fault for match in groups for fault in misplaced(match)),
    ]
    if description.relation and all(match.things for match in groups[:2]):
        missed += unrelated(description, groups[0], groups[1], sight.things, pack)
    if sight.background != description.background:
        missed.append(f"the background is {sight.background}, not {description.background}")
    besides = [f"{_named(pack, thing)} that was not asked for" for thing in strangers]
    if sight.unexplained > UNEXPLAINED:
        besides.append(f"{sight.unexplained:.0%} of the picture is nothing that is known")
    return Judgement(tuple(missed), tuple(besides))


def _distinct(things: Sequence[Found]) -> list[Found]:
    """The things, each once: a blurred one may be explained by two of its kind that lie on each other."""
    kept: list[Found] = []
    for thing in sorted(things, key=lambda thing: -thing.quality):
        kin = [other for other in kept if other.look.concept == thing.look.concept]
        if all(_shared(thing, other) < SAME for other in kin):
            kept.append(thing)
    return [thing for thing in things if thing in kept]


def _shared(thing: Found, other: Found) -> float:
    """Intersection over union of what they cover."""
    both, either = torch.minimum(thing.cover, other.cover), torch.maximum(thing.cover, other.cover)
    return float(both.sum() / either.sum().clamp(min=1e-6))


def _matched(things: Sequence[Found], description: Description, pack: Pack) -> tuple[list[Matched], list[Found]]:
    """Which things are which group's: those that are just so first, then those that are so but for colour or way up.

    Too many of a kind stay with their group; things of no group are strangers.
    """
    groups = [
        Matched(group, pack.concepts[group.concept].name, pack.concepts[group.concept].plural)
        for group in description.groups
    ]
    left = list(things)
    for likeness in (_same, _same_colour, _same_concept):
        for match in groups:
            for thing in [thing for thing in left if likeness(thing, match.wanted)]:
                if len(match.things) < match.group.count:
                    match.things.append(thing)
                    left.remove(thing)
    strangers: list[Found] = []
    for thing in left:
        kin = [match for match in groups if _same_concept(thing, match.wanted)]
        (kin[0].things if kin else strangers).append(thing)
    return groups, strangers


def _same(thing: Found, wanted: Look) -> bool:
    return wanted in thing.readings


def _same_colour(thing: Found, wanted: Look) -> bool:
    return any((look.concept, look.colour) == (wanted.concept, wanted.colour) for look in thing.readings)


def _same_concept(thing: Found, wanted: Look) -> bool:
    return any(look.concept == wanted.concept for look in thing.readings)


def _counts(groups: Sequence[Matched]) -> Iterator[str]:
    for match in groups:
        wanted, found = match.group.count, len(match.things)
        if found == 0:
            yield f"no {match.the.removeprefix('the ')}"
        elif found != wanted:
            yield f"asked for {wanted} {match.name if wanted == 1 else match.plural}, found {found}"


def _looks(match: Matched) -> Iterator[str]:
    """Wrong colours and ways up."""
    wanted = match.wanted
    for thing in match.things[: match.group.count]:
        if _same(thing, wanted):
            continue
        look = next(look for look in thing.readings if look.concept == wanted.concept)
        if not _same_colour(thing, wanted):
            yield f"the {match.name} is {look.colour or 'as it is'}, not {wanted.colour or 'as it is'}"
        kin = [other for other in thing.readings if other.concept == wanted.concept]
        if all(other.upside_down != wanted.upside_down for other in kin):
            yield f"the {match.name} is {'upright' if wanted.upside_down else 'upside-down'}"


def _named(pack: Pack, thing: Found) -> str:
    concept, colour = pack.concepts[thing.look.concept], thing.look.colour
    if not concept.article:
        return f"{colour} {concept.name}" if colour else concept.name
    return f"{article(colour)} {colour} {concept.name}" if colour else f"{concept.article} {concept.name}"
