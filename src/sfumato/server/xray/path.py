"""The way of the latent, in the two dimensions in which the ways of several seeds differ most."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from sfumato.pages.marks import section
from sfumato.pages.plots import COLOURS
from sfumato.pipelines.trace import Trace

WIDTH, HEIGHT, EDGE = 640, 400, 28  # in units of the drawing
MOST = 24  # ways

NOTE = (
    "Each way begins in noise, at its ring, and ends in a picture, at its dot. The two dimensions are those in which "
    "all latents on it differ most."
)


def paths(trace: Trace, others: Sequence[Trace]) -> str:
    """The way of a trace, beside those of others with as many steps in latents of the same shape."""
    alike = [one for one in others if _shape(one) == _shape(trace)][: MOST - 1]
    titles = [_title(one, trace) for one in (trace, *alike)]
    return section("The way of the latent", drawing(trace.path(alike), titles), note=NOTE)


def drawing(points: Float[np.ndarray, "traces points 2"], titles: Sequence[str]) -> str:
    """Ways as inline SVG, both axes in the same measure."""
    low, high = points.min((0, 1)), points.max((0, 1))
    room = np.array([WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE])
    scale = float((room / np.maximum(high - low, 1e-9)).min())
    middle = np.array([WIDTH, HEIGHT]) / 2
    places = middle + (points - (low + high) / 2) * scale * np.array([1, -1])
    told = f"The ways of {len(titles)} latents in two dimensions: {', '.join(titles)}" if len(titles) > 1 else NOTE
    ways = [_way(way, title, number) for number, (way, title) in enumerate(zip(places, titles, strict=True))]
    legend = "".join(
        f'<li><span class="key fill-{number % COLOURS + 1}"></span>{escape(title)}</li>'
        for number, title in enumerate(titles)
    )
    return (
        f'<figure class="ways"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(told)}">'
        f'{"".join(reversed(ways))}</svg><ul class="legend">{legend}</ul></figure>'
    )


def _way(way: Float[np.ndarray, "points 2"], title: str, number: int) -> str:
    colour = number % COLOURS + 1
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in way)
    steps = "".join(f'<circle class="dot-{colour}" cx="{x:.1f}" cy="{y:.1f}" r="1.8"/>' for x, y in way[1:-1])
    (x0, y0), (x1, y1) = way[0], way[-1]
    thick = ' style="stroke-width:3"' if number == 0 else ""
    return (
        f'<g><title>{escape(title)}</title><polyline class="line line-{colour}"{thick} points="{line}"/>{steps}'
        f'<circle class="ring line-{colour}" cx="{x0:.1f}" cy="{y0:.1f}" r="5"/>'
        f'<circle class="dot-{colour}" cx="{x1:.1f}" cy="{y1:.1f}" r="6"/></g>'
    )


def _shape(trace: Trace) -> tuple[int, tuple[int, ...]]:
    return len(trace.steps), trace.final.shape


def _title(one: Trace, first: Trace) -> str:
    """What is particular about it: the seed, or the prompt where that is another."""
    prompt = one.request.prompt
    return f"seed {one.request.seed}" if prompt == first.request.prompt else f"“{prompt[:40]}”"
