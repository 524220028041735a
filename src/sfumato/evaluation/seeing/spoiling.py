"""Scenes made wrong in one known way: what a judge must notice, and say."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from sfumato.data.scenes.colours import TINTS
from sfumato.data.scenes.description import SPATIAL
from sfumato.data.scenes.scene import Scene, Thing
from sfumato.data.scenes.sprites import Pack

MARGIN = 0.01  # between a thing too many and the others
SMALLEST = 0.2  # side of a thing too many


@dataclass(frozen=True)
class Spoilt:
    """A scene that no longer shows its description.

    Args:
        scene: As it is now; its description is what was asked for.
        expected: A pattern that one of the faults must match that a judge tells.
    """

    scene: Scene
    expected: re.Pattern[str]

    def is_told(self, faults: list[str]) -> bool:
        """Whether the faults say what is wrong."""
        return any(self.expected.search(fault) for fault in faults)


def spoil(scene: Scene, how: str, pack: Pack, rng: random.Random) -> Spoilt | None:
    """A scene with one thing wrong.

    Args:
        scene: A right one.
        how: One of `WAYS`.
        pack: Of its concepts.
        rng: Where chance comes from.

    Returns:
        None where the scene cannot be wrong in this way: no words say where its two things stand, no room is left.
    """
    return WAYS[how](scene, pack, rng)


def _swapped(scene: Scene, pack: Pack, rng: random.Random) -> Spoilt | None:
    """The first two things change places, which words tell."""
    asked = scene.description
    if asked is None or len(scene.things) != 2 or (asked.relation not in SPATIAL and not asked.groups[0].place):
        return None
    one, two = scene.things
    if (one.concept, one.colour) == (two.concept, two.colour):
        return None
    moved = (replace(one, x=two.x, y=two.y), replace(two, x=one.x, y=one.y))
    return Spoilt(replace(scene, things=moved), re.compile(r"\b(left|right|top|bottom|above|below|centre)\b"))


def _missing(scene: Scene, pack: Pack, rng: random.Random) -> Spoilt | None:
    place = rng.randrange(len(scene.things))
    gone = scene.things[place]
    same = sum(_alike(thing, gone) for thing in scene.things)
    left = scene.things[:place] + scene.things[place + 1 :]
    name = re.escape(pack.concepts[gone.concept].name if same == 1 else pack.concepts[gone.concept].plural)
    told = rf"^no .*{name}" if same == 1 else rf"asked for {same} {name}, found {same - 1}"
    return Spoilt(replace(scene, things=left), re.compile(told))


def _too_many(scene: Scene, pack: Pack, rng: random.Random) -> Spoilt | None:
    """Another of what is there."""
    model = rng.choice(scene.things)
    kind = [thing for thing in scene.things if thing.concept == model.concept]
    if any(not _alike(thing, model) for thing in kind):
        return None
    spot = _free_spot(scene, rng)
    if spot is None:
        return None
    name = pack.concepts[model.concept]
    told = rf"asked for {len(kind)} {re.escape(name.name if len(kind) == 1 else name.plural)}, found {len(kind) + 1}"
    more = replace(model, x=spot[0], y=spot[1], size=spot[2])
    return Spoilt(replace(scene, things=(*scene.things, more)), re.compile(told))


def _stranger(scene: Scene, pack: Pack, rng: random.Random) -> Spoilt | None:
    """Something that nobody asked for."""
    spot = _free_spot(scene, rng)
    if spot is None:
        return None
    concept = _other_concept(scene, pack, rng)
    told = rf"{re.escape(pack.concepts[concept].name)} that was not asked for"
    return Spoilt(replace(scene, things=(*scene.things, Thing(concept, *spot))), re.compile(told))


def _recoloured(scene: Scene, pack: Pack, rng: random.Random) -> Spoilt | None:
    place = rng.randrange(len(scene.things))
    thing = scene.things[place]
    taken = {thing.colour, *(other.colour for other in scene.things), *scene.background.split()}
    free = [colour for colour in TINTS if colour not in taken]
    if scene.background not in TINTS or not free:  # before a landscape a colour may be lost
        free = [colour for colour in ("red", "pink", "purple") if colour not in taken]
    if not free:
        return None
    colour = rng.choice(free)
    told = rf"the {re.escape(pack.concepts[thing.concept].name)} is {colour}, not"
    return Spoilt(_with(scene, place, replace(thing, colour=colour)), re.compile(told))


def _exchanged(scene: Scene, pack: Pack, rng: random.Random) -> Spoilt | None:
    """Another concept in the place of one."""
    place = rng.randrange(len(scene.things))
    concept = _other_concept(scene, pack, rng)
    told = rf"{re.escape(pack.concepts[concept].name)} that was not asked for"
    return Spoilt(_with(scene, place, replace(scene.things[place], concept=concept)), re.compile(told))


def _other_background(scene: Scene, pack: Pack, rng: random.Random) -> Spoilt | None:
    taken = {scene.background, *(thing.colour for thing in scene.things)}
    background = rng.choice([name for name in ("white", "pink", "turquoise", "purple") if name not in taken])
    return Spoilt(replace(scene, background=background), re.compile(f"the background is {background}, not"))


WAYS: dict[str, Callable[[Scene, Pack, random.Random], Spoilt | None]] = {
    "swapped": _swapped,
    "missing": _missing,
    "too many": _too_many,
    "stranger": _stranger,
    "recoloured": _recoloured,
    "exchanged": _exchanged,
    "background": _other_background,
}
"""How a scene can be wrong."""


def _alike(one: Thing, other: Thing) -> bool:
    return (one.concept, one.colour, one.upside_down) == (other.concept, other.colour, other.upside_down)


def _with(scene: Scene, place: int, thing: Thing) -> Scene:
    return replace(scene, things=(*scene.things[:place], thing, *scene.things[place + 1 :]))


def _other_concept(scene: Scene, pack: Pack, rng: random.Random) -> int:
    there = {thing.concept for thing in scene.things}
    return rng.choice([number for number in range(len(pack.concepts)) if number not in there])


def _free_spot(scene: Scene, rng: random.Random) -> tuple[float, float, float] | None:
    """The middle and size of a thing that touches no other."""
    for _ in range(60):
        size = rng.uniform(SMALLEST, 0.3)
        x, y = (rng.uniform(size / 2, 1 - size / 2) for _ in range(2))
        if all(max(abs(x - thing.x), abs(y - thing.y)) > (size + thing.size) / 2 + MARGIN for thing in scene.things):
            return x, y, size
    return None
