"""Curves as SVG: axes, ticks, a legend, and words for those who do not see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from sfumato.pages.scales import Axis, axis, is_wide, short

WIDTH, HEIGHT = 440, 250  # in units of the drawing: letters of 12 can be read on a phone
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 30, 34
MOST_POINTS = 250  # of a curve: more cannot be told apart
COLOURS = 6  # that the page's style knows, as .line-1 and so on

Curve = Sequence[tuple[float, float]]


def curves(name: str, series: Mapping[str, Curve], x_label: str = "step", *, marked: bool = False) -> str:
    """Several curves over one axis, as an inline SVG; logarithmic upwards where values need that.

    `series` are points (x, y) in the order of x, by name; empty ones are left out. Empty text if none is left. With
    `marked` there is an upright line of the class "now" at the left end, which a program may move: its `data-from` and
    `data-to` are the x of both ends, its `data-width` how far apart they are in the drawing.
    """
    shown = {label: thinned(points) for label, points in series.items() if points}
    if not shown:
        return ""
    xs, ys = ([point[i] for points in shown.values() for point in points] for i in (0, 1))
    across = axis(xs, LEFT, WIDTH - RIGHT)
    up = axis(ys, HEIGHT - BOTTOM, TOP, logarithmic=is_wide(ys))
    ends = "; ".join(f"{label} from {short(points[0][1])} to {short(points[-1][1])}" for label, points in shown.items())
    told = f"{x_label} (upwards logarithmic)" if up.logarithmic else x_label
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{name} over {x_label}s: {ends}")}">',
        _frame(across, up, told),
        _mark(across) if marked else "",
        *(_line(points, across, up, number) for number, points in enumerate(shown.values())),
        _legend(list(shown)),
        "</svg>",
    ]
    return "\n".join(parts)


def thinned(points: Curve, most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most so many points: the means of equally many neighbours each."""
    if len(points) <= most:
        return list(points)
    cuts = [round(i * len(points) / most) for i in range(most + 1)]
    parts = [points[first:end] for first, end in pairwise(cuts)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def _frame(across: Axis, up: Axis, x_label: str) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>']
    for tick in up.ticks():
        y = up(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    for tick in across.ticks(4):
        x = across(tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 4}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{short(tick)}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_label)}</text>')
    return "\n".join(parts)


def _mark(across: Axis) -> str:
    ends = f'data-from="{across.low:g}" data-to="{across.high:g}" data-width="{across.end - across.start:g}"'
    return f'<line class="now" x1="{LEFT}" y1="{TOP - 4}" x2="{LEFT}" y2="{HEIGHT - BOTTOM}" {ends}/>'


def _line(points: Curve, across: Axis, up: Axis, number: int) -> str:
    places = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
    colour = number % COLOURS + 1
    if len(points) == 1:
        x, y = places.split(",")
        return f'<circle class="dot-{colour}" cx="{x}" cy="{y}" r="3"/>'
    return f'<polyline class="line line-{colour}" points="{places}"/>'


def _legend(labels: Sequence[str]) -> str:
    """Names side by side above the curves, each with a stroke of its colour."""
    parts, x = [], float(LEFT)
    for number, label in enumerate(labels):
        told = label if len(label) <= 18 else f"{label[:17]}…"
        parts.append(f'<line class="line line-{number % COLOURS + 1}" x1="{x}" y1="14" x2="{x + 16}" y2="14"/>')
        parts.append(f'<text x="{x + 21}" y="18">{escape(told)}</text>')
        x += 21 + 6.6 * len(told) + 14
    return "\n".join(parts)
