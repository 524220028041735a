"""Scenes on a grid: fewer places and sizes, which small models learn much sooner."""

from __future__ import annotations

from dataclasses import replace

from sfumato.data.scenes.scene import Scene, Thing

SMALLEST = 3  # cells that a thing is long, at least


def snapped(scene: Scene, cells: int) -> Scene:
    """The scene with its things moved and sized to whole cells, each by less than one.

    Args:
        scene: as it was laid out.
        cells: along each side of the picture, at least 3.
    """
    return replace(scene, things=tuple(_snapped(thing, cells) for thing in scene.things))


def _snapped(thing: Thing, cells: int) -> Thing:
    long = min(max(round(thing.size * cells), SMALLEST), cells)

    def place(middle: float) -> float:
        first = round(middle * cells - long / 2)
        return (min(max(first, 0), cells - long) + long / 2) / cells

    return replace(thing, x=place(thing.x), y=place(thing.y), size=long / cells)
