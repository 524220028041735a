"""Which steps of a trace a page shows: all of a short run, evenly chosen ones of a long one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sfumato.pipelines.trace import Trace

MOST_STEPS = 25  # on a page


def kept(trace: Trace) -> tuple[int, ...]:
    """The places in `Trace.steps` of those steps."""
    return evenly(range(len(trace.steps)), MOST_STEPS)


def evenly(places: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of them, evenly chosen, the first and the last among them where there are two or more."""
    if len(places) <= most:
        return tuple(places)
    chosen = np.linspace(0, len(places) - 1, most).round().astype(int) if most > 1 else range(most)
    return tuple(places[i] for i in chosen)
