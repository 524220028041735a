"""Captions that lie in one fact, in the words of those that tell the truth: what finds them can be measured."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sfumato.data.scenes.agreement import least_disagreements
from sfumato.data.scenes.description import PLACES, SIZES, SPATIAL, Description, Group
from sfumato.data.scenes.language import LONGEST_ROW, LOST_BEFORE, Language
from sfumato.data.scenes.phrases import caption
from sfumato.data.scenes.reading import Reader
from sfumato.data.scenes.relating import can
from sfumato.errors import DataError

LIED = ("thing", "count", "colour", "size", "place", "relation", "background")
MOST_THINGS = 9
ATTEMPTS = 40  # captions of one lie before another fact is lied about: some facts are mostly kept silent

# What is said in place of a relation: something that cannot be so at the same time, in any layout.
INSTEAD = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "in front of": "behind",
    "behind": "in front of",
    "wearing": "in front of",
    "holding": "in front of",
    "inside": "in front of",
}


@dataclass(frozen=True)
class Lie:
    """A caption that is wrong in one fact.

    Args:
        caption: What it says.
        fact: What of it is wrong, one of `LIED`.
        description: What the caption would be true of.
    """

    caption: str
    fact: str
    description: Description


class Liar:
    """Tells of scenes with one fact changed, which the caption states and no reading of it makes true.

    Args:
        language: What may be described; what is said instead is of it too.
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        self._reader = Reader(language.concepts)

    def lie(self, shown: Description, rng: random.Random, fact: str | None = None, complete: bool = False) -> Lie:
        """A caption of a scene with a lie in it.

        Args:
            shown: What the scene shows.
            rng: Where chance comes from; the same state gives the same lie.
            fact: One of `LIED`, which the description must state; None: any that it states.
            complete: Whether the caption tells every fact (`phrases.caption`).

        Raises:
            DataError: there is no such fact, or nothing else can be said of it.
        """
        if fact is not None and fact not in LIED:
            raise DataError(f"there are no lies about {fact!r}, but about {', '.join(LIED)}")
        for each in [fact] if fact else rng.sample(LIED, len(LIED)):
            others = list(self._others(shown, each))
            for _ in range(ATTEMPTS if others else 0):
                other = rng.choice(others)
                text = caption(other, self.language.concepts, rng, complete)
                wrong = least_disagreements(self._reader.readings(text), shown)
                if [found.fact for found in wrong] == [each]:
                    return Lie(text, each, other)
        raise DataError(f"nothing else can be said of {fact or 'this scene'} in this language")

    def exchanged(self, shown: Description, rng: random.Random) -> str:
        """A caption of another scene, drawn until it is not true of this one: the coarse lie of pairs mixed up."""
        while True:
            text = caption(self.language.draw(rng), self.language.concepts, rng)
            if least_disagreements(self._reader.readings(text), shown):
                return text

    def _others(self, shown: Description, fact: str) -> Iterator[Description]:
        """The descriptions that differ in one fact from what is shown."""
        if fact == "background":
            for background in self.language.backgrounds:
                hidden = LOST_BEFORE.get(background, (background,))
                if background != shown.background and not any(group.colour in hidden for group in shown.groups):
                    yield replace(shown, background=background)
        elif fact == "relation":
            if shown.relation:
                yield replace(shown, relation=INSTEAD[shown.relation])
        else:
            for number, group in enumerate(shown.groups):
                rest = shown.groups[:number] + shown.groups[number + 1 :]
                for other in getattr(self, f"_{fact}")(group, rest, shown):
                    groups = (*shown.groups[:number], other, *shown.groups[number + 1 :])
                    if self._can(groups[:2], shown.relation):
                        yield replace(shown, groups=groups)

    def _can(self, groups: tuple[Group, ...], relation: str | None) -> bool:
        if relation is None:
            return True
        one, two = (self.language.concepts[group.concept] for group in groups)
        return can(relation, one, two)

    def _thing(self, group: Group, rest: tuple[Group, ...], shown: Description) -> Iterator[Group]:
        taken = {group.concept, *(other.concept for other in rest)}
        for number, concept in enumerate(self.language.concepts):
            if number not in taken and (group.count == 1 or concept.article):
                yield replace(group, concept=number)

    def _count(self, group: Group, rest: tuple[Group, ...], shown: Description) -> Iterator[Group]:
        most = min(self.language.most, MOST_THINGS - sum(other.count for other in rest))
        if not self.language.concepts[group.concept].article or shown.relation not in (None, *SPATIAL):
            return
        for count in range(1, most + 1):
            if count != group.count:
                in_row = group.arrangement == "row" and 3 <= count <= LONGEST_ROW
                yield replace(group, count=count, arrangement="row" if in_row else None)

    def _colour(self, group: Group, rest: tuple[Group, ...], shown: Description) -> Iterator[Group]:
        if group.colour:
            taken = {group.colour, *(other.colour for other in rest)}
            taken.update(LOST_BEFORE.get(shown.background, (shown.background,)))
            yield from (replace(group, colour=colour) for colour in self.language.colours if colour not in taken)

    def _size(self, group: Group, rest: tuple[Group, ...], shown: Description) -> Iterator[Group]:
        if group.size:
            yield from (replace(group, size=size) for size in SIZES if size != group.size)

    def _place(self, group: Group, rest: tuple[Group, ...], shown: Description) -> Iterator[Group]:
        if group.place:
            taken = {group.place, *(other.place for other in rest)}
            for place in PLACES:
                if place not in taken and _apart(place, group.place):
                    yield replace(group, place=place)


def _apart(place: str, other: str) -> bool:
    """Whether nothing is at both places: what is in a corner is also at its sides."""
    (column, row), (other_column, other_row) = PLACES[place], PLACES[other]
    return "centre" in (place, other) or abs(column - other_column) + abs(row - other_row) > 1
