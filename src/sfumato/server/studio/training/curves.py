"""Curves of a training as SVG, in the page's colours, with their numbers told in words too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from sfumato.server.studio.training.watching import Points

WIDTH, HEIGHT = 460, 180
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 26  # margins
WIDE = 15  # times from the least to the greatest value, above which the scale is logarithmic
SMOOTH = 20  # a value is drawn as the mean of those around it, so many means beside each other
CLASSES = {"loss": "curve-1", "validation_loss": "curve-2"}
NAMES = {"loss": "loss", "validation_loss": "loss on what it does not learn from"}

Scale = Callable[[float], float]


def curves(name: str, lines: Mapping[str, Points]) -> str:
    """One picture of all lines over their steps; "" while there is nothing to draw.

    Each line is drawn as it is, thin, and as the mean of what lies around each step.
    """
    lines = {key: points for key, points in lines.items() if points}
    if not lines:
        return ""
    every = [point for points in lines.values() for point in points]
    last = max(step for step, _ in every)
    down = _scale([value for _, value in every])

    def across(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / max(last, 1)

    drawn = "".join(_line(points, CLASSES[key], across, down) for key, points in lines.items())
    told = "; ".join(f"{NAMES[key]} {points[-1][1]:.4g} at step {points[-1][0]:,}" for key, points in lines.items())
    label = escape(f"Curves of {name}: {told}")
    return (
        f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{_axes(every, last, across, down)}{drawn}</svg>"
    )


def _scale(values: Sequence[float]) -> Scale:
    """From a value to its height on the page."""
    low, high = min(values), max(values)
    logarithmic = low > 0 and high > WIDE * low
    bend: Scale = math.log if logarithmic else float
    bottom, top = bend(low), bend(high)
    if top == bottom:
        bottom, top = bottom - 0.5, top + 0.5

    def down(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (bend(value) - bottom) / (top - bottom)

    return down


def _line(points: Points, kind: str, across: Scale, down: Scale) -> str:
    if len(points) == 1:
        (step, value), *_ = points
        return f'<circle class="{kind}" cx="{across(step):.1f}" cy="{down(value):.1f}" r="2.5"/>'
    smooth = [(step, _mean(points, place)) for place, (step, _) in enumerate(points)]
    thin, thick = (
        " ".join(f"{across(step):.1f},{down(value):.1f}" for step, value in some) for some in (points, smooth)
    )
    return f'<polyline class="{kind} raw" points="{thin}"/><polyline class="{kind}" points="{thick}"/>'


def _mean(points: Points, place: int) -> float:
    """Of the values around a place, as many before as after it."""
    reach = min(len(points) // SMOOTH, place, len(points) - 1 - place)
    around = points[place - reach : place + reach + 1]
    return sum(value for _, value in around) / len(around)


def _axes(every: Points, last: int, across: Scale, down: Scale) -> str:
    values = [value for _, value in every]
    marks = "".join(
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down(value):.1f}" y2="{down(value):.1f}"/>'
        f'<text x="{LEFT - 8}" y="{down(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        for value in dict.fromkeys((min(values), max(values)))
    )
    y = HEIGHT - 8
    return (
        f'{marks}<text x="{LEFT}" y="{y}">0</text>'
        f'<text x="{WIDTH - RIGHT}" y="{y}" text-anchor="end">step {last:,}</text>'
    )
