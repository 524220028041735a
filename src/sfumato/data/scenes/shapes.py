"""Geometric shapes and simple things drawn by Pillow, so that scenes can be made without any font."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from sfumato.data.scenes.concepts import Concept

CANVAS = 512  # pixels of the drawing; sprites are made smaller, so that edges are smooth
INK = "#2b2b33"

Point = tuple[float, float]
Draw = Callable[["Pen"], None]


class Pen:
    """Draws on the unit square, y downwards."""

    def __init__(self) -> None:
        self.picture = Image.new("RGBA", (CANVAS, CANVAS))
        self._draw = ImageDraw.Draw(self.picture)

    def polygon(self, points: list[Point], colour: str | None) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * CANVAS, y * CANVAS) for x, y in points], fill=colour or (0, 0, 0, 0))

    def ellipse(self, left: float, top: float, right: float, bottom: float, colour: str | None) -> None:
        """A filled ellipse in this box; None cuts a hole."""
        box = [value * CANVAS for value in (left, top, right, bottom)]
        self._draw.ellipse(box, fill=colour or (0, 0, 0, 0))

    def box(self, left: float, top: float, right: float, bottom: float, colour: str | None, round_: float = 0) -> None:
        """A filled rectangle with corners of this radius; None cuts a hole."""
        box = [value * CANVAS for value in (left, top, right, bottom)]
        self._draw.rounded_rectangle(box, round_ * CANVAS, fill=colour or (0, 0, 0, 0))

    def arc(self, left: float, top: float, right: float, bottom: float, span: Point, colour: str, width: float) -> None:
        """A part of an ellipse's edge; the span in degrees, clockwise from the right."""
        box = [value * CANVAS for value in (left, top, right, bottom)]
        self._draw.arc(box, *span, fill=colour, width=round(width * CANVAS))


@dataclass(frozen=True)
class Shape:
    """A concept and how it is drawn."""

    concept: Concept
    draw: Draw


def draw(name: str) -> Image.Image:
    """What is seen of this shape."""
    pen = Pen()
    SHAPES[name].draw(pen)
    return pen.picture.crop(pen.picture.getchannel("A").getbbox())


def regular(corners: int, turn: float = 0, inner: float | None = None) -> list[Point]:
    """The corners of a regular polygon, the first on top; of a star, when its inner radius is given."""
    radii = [0.5] if inner is None else [0.5, inner]
    count = corners * len(radii)
    angles = [2 * math.pi * k / count - math.pi / 2 + turn for k in range(count)]
    return [
        (0.5 + radii[k % len(radii)] * math.cos(a), 0.5 + radii[k % len(radii)] * math.sin(a))
        for k, a in enumerate(angles)
    ]


def _polygon(points: list[Point], colour: str) -> Draw:
    return lambda pen: pen.polygon(points, colour)


def _ellipse(left: float, top: float, right: float, bottom: float, colour: str) -> Draw:
    return lambda pen: pen.ellipse(left, top, right, bottom, colour)


def _ring(pen: Pen) -> None:
    pen.ellipse(0, 0, 1, 1, "#e0a526")
    pen.ellipse(0.24, 0.24, 0.76, 0.76, None)


def _crescent(pen: Pen) -> None:
    pen.ellipse(0, 0, 1, 1, "#f0cf3f")
    pen.ellipse(0.28, -0.08, 1.2, 0.84, None)


def _heart(pen: Pen) -> None:
    pen.ellipse(0.02, 0.05, 0.53, 0.56, "#d93636")
    pen.ellipse(0.47, 0.05, 0.98, 0.56, "#d93636")
    pen.polygon([(0.077, 0.46), (0.5, 0.3), (0.923, 0.46), (0.5, 0.98)], "#d93636")


def _drop(pen: Pen) -> None:
    pen.ellipse(0.2, 0.38, 0.8, 0.98, "#4aa3df")
    pen.polygon([(0.5, 0), (0.775, 0.56), (0.225, 0.56)], "#4aa3df")


def _cloud(pen: Pen) -> None:
    for left, top, right, bottom in ((0, 0.4, 0.42, 0.8), (0.2, 0.18, 0.68, 0.7), (0.52, 0.34, 1, 0.8)):
        pen.ellipse(left, top, right, bottom, "#b9c6d6")
    pen.box(0.2, 0.5, 0.78, 0.8, "#b9c6d6")


def _flower(pen: Pen) -> None:
    for x, y in regular(6):
        x, y = 0.5 + 0.62 * (x - 0.5), 0.5 + 0.62 * (y - 0.5)
        pen.ellipse(x - 0.19, y - 0.19, x + 0.19, y + 0.19, "#d65fb2")
    pen.ellipse(0.34, 0.34, 0.66, 0.66, "#f2c230")


def _tree(pen: Pen) -> None:
    pen.box(0.43, 0.6, 0.57, 1, "#7d5230")
    pen.polygon([(0.5, 0), (0.85, 0.75), (0.15, 0.75)], "#2f8f46")


def _house(pen: Pen) -> None:
    pen.box(0.12, 0.42, 0.88, 1, "#e5c89a")
    pen.polygon([(0.5, 0), (1, 0.46), (0, 0.46)], "#b5442f")
    pen.box(0.42, 0.66, 0.6, 1, "#6d4426")


def _face(pen: Pen) -> None:
    pen.ellipse(0, 0, 1, 1, "#f7cc3b")
    pen.ellipse(0.28, 0.34, 0.4, 0.5, INK)
    pen.ellipse(0.6, 0.34, 0.72, 0.5, INK)
    pen.arc(0.25, 0.3, 0.75, 0.8, (20, 160), INK, 0.06)


def _bear(pen: Pen) -> None:
    for left in (0.03, 0.67):
        pen.ellipse(left, 0, left + 0.3, 0.3, "#8a5a35")
    pen.ellipse(0.04, 0.06, 0.96, 0.98, "#8a5a35")
    pen.ellipse(0.3, 0.5, 0.7, 0.86, "#d9b48a")
    for left in (0.28, 0.6):
        pen.ellipse(left, 0.34, left + 0.12, 0.46, INK)
    pen.ellipse(0.43, 0.56, 0.57, 0.66, INK)


def _robot(pen: Pen) -> None:
    pen.box(0.47, 0, 0.53, 0.2, "#7f8c99")
    pen.box(0.08, 0.16, 0.92, 1, "#9fb0c0", 0.08)
    for left in (0.24, 0.58):
        pen.box(left, 0.36, left + 0.18, 0.54, "#2f6fb5")
    pen.box(0.3, 0.72, 0.7, 0.82, INK)


def _hat(pen: Pen) -> None:
    pen.box(0.2, 0, 0.8, 0.62, INK, 0.03)
    pen.box(0.2, 0.4, 0.8, 0.54, "#c23434")
    pen.box(0, 0.56, 1, 0.66, INK, 0.04)


def _crown(pen: Pen) -> None:
    pen.polygon([(0, 0.15), (0.25, 0.45), (0.5, 0.1), (0.75, 0.45), (1, 0.15), (0.9, 0.8), (0.1, 0.8)], "#e9b52d")
    for x in (0.3, 0.5, 0.7):
        pen.ellipse(x - 0.05, 0.6, x + 0.05, 0.7, "#c23434")


def _glasses(pen: Pen) -> None:
    pen.box(0.36, 0.44, 0.64, 0.49, INK)
    for left in (0, 0.56):
        pen.ellipse(left, 0.3, left + 0.44, 0.74, INK)
        pen.ellipse(left + 0.06, 0.36, left + 0.38, 0.68, "#cfe6f5")


def _box(pen: Pen) -> None:
    pen.box(0.05, 0.2, 0.95, 0.95, "#b98a56")
    pen.box(0, 0.2, 1, 0.34, "#a17444")


def _cup(pen: Pen) -> None:
    pen.ellipse(0.55, 0.3, 1, 0.75, "#4f86c6")
    pen.ellipse(0.65, 0.4, 0.9, 0.65, None)
    pen.polygon([(0, 0.1), (0.78, 0.1), (0.68, 0.95), (0.1, 0.95)], "#4f86c6")


def _apple(pen: Pen) -> None:
    pen.ellipse(0.02, 0.2, 0.62, 1, "#cf3a35")
    pen.ellipse(0.38, 0.2, 0.98, 1, "#cf3a35")
    pen.box(0.47, 0.02, 0.53, 0.3, "#6d4426")
    pen.ellipse(0.52, 0.04, 0.82, 0.2, "#4c9a3f")


def _balloon(pen: Pen) -> None:
    pen.ellipse(0.2, 0, 0.8, 0.7, "#e2504a")
    pen.polygon([(0.5, 0.66), (0.57, 0.76), (0.43, 0.76)], "#e2504a")
    pen.box(0.488, 0.74, 0.512, 1, INK)


def _arrow(pen: Pen) -> None:
    pen.box(0, 0.38, 0.62, 0.62, "#3d7dca")
    pen.polygon([(0.55, 0.15), (1, 0.5), (0.55, 0.85)], "#3d7dca")


def _cross(pen: Pen) -> None:
    pen.box(0.35, 0, 0.65, 1, "#3a9a72")
    pen.box(0, 0.35, 1, 0.65, "#3a9a72")


def _key(pen: Pen) -> None:
    pen.ellipse(0, 0.28, 0.44, 0.72, "#d9a52b")
    pen.ellipse(0.12, 0.4, 0.32, 0.6, None)
    pen.box(0.42, 0.45, 1, 0.55, "#d9a52b")
    pen.box(0.78, 0.5, 0.86, 0.7, "#d9a52b")
    pen.box(0.92, 0.5, 1, 0.7, "#d9a52b")


BOLT: list[Point] = [(0.55, 0), (0.15, 0.56), (0.46, 0.56), (0.34, 1), (0.85, 0.4), (0.54, 0.4), (0.75, 0)]
HALF: list[Point] = [(0, 0.25), (1, 0.25), (0.75, 0.75), (0.25, 0.75)]
SLANT: list[Point] = [(0.25, 0.25), (1, 0.25), (0.75, 0.75), (0, 0.75)]


def _shape(name: str, draw: Draw, plural: str = "", roles: str = "held contained", **anchors: object) -> Shape:
    return Shape(Concept(name, plural or f"{name}s", (), "", frozenset(roles.split()), **anchors), draw)  # type: ignore[arg-type]


WEARS = "wearer holder contained"
SHAPES = {
    shape.concept.name: shape
    for shape in (
        _shape("circle", _ellipse(0, 0, 1, 1, "#d9463e")),
        _shape("square", _polygon([(0, 0), (1, 0), (1, 1), (0, 1)], "#3f6fc9")),
        _shape("triangle", _polygon(regular(3), "#e08a2e")),
        _shape("star", _polygon(regular(5, inner=0.2), "#f2c230")),
        _shape("heart", _heart),
        _shape("face", _face, roles=WEARS, head=(0.5, 0.06, 0.7), eyes=(0.5, 0.42, 0.8)),
        _shape("bear", _bear, roles=WEARS, head=(0.5, 0.09, 0.6), eyes=(0.5, 0.4, 0.7)),
        _shape("robot", _robot, roles=WEARS, head=(0.5, 0.18, 0.8), eyes=(0.5, 0.45, 0.8)),
        _shape("hat", _hat, roles="hat", head=(0.5, 0.78, 0.64)),
        _shape("crown", _crown, roles="hat", head=(0.5, 0.82, 0.8)),
        _shape("glasses", _glasses, plural="glasses", roles="glasses mass"),
        _shape("box", _box, plural="boxes", roles="container", head=(0.5, 0.17, 0.9)),
        _shape("cup", _cup, roles="container", head=(0.39, 0.1, 0.7)),
        _shape("ring", _ring),
        _shape("crescent", _crescent),
        _shape("diamond", _polygon(regular(4), "#43b5c4")),
        _shape("pentagon", _polygon(regular(5), "#7d5ac2")),
        _shape("hexagon", _polygon(regular(6), "#4da35a")),
        _shape("oval", _ellipse(0, 0.2, 1, 0.8, "#c25a93")),
        _shape("cross", _cross, plural="crosses"),
        _shape("arrow", _arrow),
        _shape("trapezoid", _polygon(HALF, "#8a6f4d")),
        _shape("parallelogram", _polygon(SLANT, "#5d7f8f")),
        _shape("drop", _drop),
        _shape("cloud", _cloud, roles=""),
        _shape("lightning bolt", _polygon(BOLT, "#f2c230")),
        _shape("flower", _flower),
        _shape("tree", _tree, roles=""),
        _shape("house", _house, roles=""),
        _shape("apple", _apple),
        _shape("balloon", _balloon, roles="held"),
        _shape("key", _key),
    )
}
