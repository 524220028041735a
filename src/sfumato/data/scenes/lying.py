"""Captions that lie about a scene by one fact, for trials of whoever should notice."""

from __future__ import annotations

import random
from dataclasses import replace

from sfumato.data.scenes.description import PLACES, PLAIN, SPATIAL, Description, Group
from sfumato.data.scenes.held_out import MIRRORED
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.phrases import caption

LIES = ("colour", "count", "place", "thing")
ATTEMPTS = 20  # wordings, until one tells the fact
OPPOSITE = {**MIRRORED, **{other: one for one, other in MIRRORED.items()}}


def lie(description: Description, how: str, language: Language, rng: random.Random) -> str | None:
    """A caption that tells all as it is but for one fact.

    Args:
        description: what the scene shows.
        how: one of `LIES`; a colour is that of a thing or what is behind it, a place may be a relation of places.
        language: what may be said.
        rng: where chance comes from.

    Returns:
        The caption; None where the scene has no such fact.
    """
    for _ in range(ATTEMPTS):
        changed = _changed(description, how, language, rng)
        if changed is None:
            return None
        seed = rng.random()
        told = caption(changed, language.concepts, random.Random(seed))
        if told != caption(description, language.concepts, random.Random(seed)):  # the fact is told
            return told
    return None


def _changed(description: Description, how: str, language: Language, rng: random.Random) -> Description | None:
    groups = list(description.groups)
    place = rng.randrange(len(groups))
    if how == "place":
        return _elsewhere(description, rng)
    if how == "colour" and not groups[place].colour:
        others = [
            name for name in language.backgrounds if name not in (PLAIN, description.background)
        ]  # told, as a rule
        return replace(description, background=rng.choice(others))
    new = _group(groups, place, how, language, rng)
    if new is None:
        return None
    groups[place] = new
    return replace(description, groups=tuple(groups))


def _group(groups: list[Group], place: int, how: str, language: Language, rng: random.Random) -> Group | None:
    group = groups[place]
    if how == "colour":
        return replace(group, colour=rng.choice([name for name in language.colours if name != group.colour]))
    if how == "count":
        if not language.concepts[group.concept].article:
            return None
        counts = [count for count in range(1, language.most + 1) if count != group.count]
        return replace(group, count=rng.choice(counts), arrangement=None)
    there = {each.concept for each in groups}
    return replace(group, concept=rng.choice([n for n in range(len(language.concepts)) if n not in there]))


def _elsewhere(description: Description, rng: random.Random) -> Description | None:
    placed = [number for number, group in enumerate(description.groups) if group.place]
    if description.relation in SPATIAL:
        return replace(description, relation=OPPOSITE[description.relation])
    if not placed:
        return None
    groups = list(description.groups)
    number = rng.choice(placed)
    taken = {group.place for group in groups}
    groups[number] = replace(groups[number], place=rng.choice([name for name in PLACES if name not in taken]))
    return replace(description, groups=tuple(groups))
