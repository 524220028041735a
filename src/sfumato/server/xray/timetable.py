"""The curves of a run: how noisy each step is, how far it goes, and how hard guidance pulls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from sfumato.pages.marks import section
from sfumato.pages.plots import Curve, curves
from sfumato.pipelines.trace import Trace

KINDS = {  # title: what the curves of it are
    "Signal and noise": "α of the clean picture and σ of noise are in what a step begins with",
    "Signal to noise": "log-SNR, 2 log(α / σ): 0 is as much of both",
    "Step size": "how far a step goes, in the share of noise σ / (α + σ)",
    "Guidance": "root mean square of what guidance adds to the estimate",
}


def timetable(traces: Sequence[Trace], titles: Sequence[str]) -> str:
    """The curves of traces, by whose titles they are told apart where there are several."""
    drawn = [
        f"<figure><figcaption>{escape(kind)}<small>{escape(told)}</small></figcaption>{drawing}</figure>"
        for kind, told in KINDS.items()
        if (drawing := curves(kind, _series(kind, traces, titles), marked=True))
    ]
    return section("The timetable", f'<div class="plots">{"".join(drawn)}</div>' if drawn else "")


def _series(kind: str, traces: Sequence[Trace], titles: Sequence[str]) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    for trace, title in zip(traces, titles, strict=True):
        for name, points in _curves(kind, trace).items():
            if any(points == known for known in found.values()):
                continue  # prompts that follow one timetable
            found[f"{name} {title}".strip() if len(traces) > 1 and name in found else name] = points
    return found


def _curves(kind: str, trace: Trace) -> dict[str, Curve]:
    levels = trace.levels
    match kind:
        case "Signal and noise":
            return {"α": _points(levels.alpha[:-1]), "σ": _points(levels.sigma[:-1])}
        case "Signal to noise":
            return {"log-SNR": _points(levels.log_snr[:-1])}
        case "Step size":
            return {"step size": _points(levels.step_size)}
    guided = [step for step in trace.steps if step.unconditional is not None]
    return {"guidance": [(step.step, step.guidance_norm) for step in guided if math.isfinite(step.guidance_norm)]}


def _points(values: Iterable[float]) -> Curve:
    """A value for each step, from 1; without those that are infinite, as log-SNR is at pure noise."""
    return [(step, float(value)) for step, value in enumerate(values, 1) if math.isfinite(value)]
