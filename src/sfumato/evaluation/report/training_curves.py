"""The curves that a training left in its run folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RUN, METRICS = "run", "metrics.jsonl"
LARGEST = 64 * 2**20  # bytes of a file that are read
MOST_SERIES = 6
UNSHOWN = ("step", "gradient", "steps_per_second", "temperature")  # how it went, rather than how good it is

Curves = dict[str, list[tuple[float, float]]]


def training_curves(model: Path, stages: Sequence[str] = ()) -> dict[str, Curves]:
    """Of each stage, its measures over its steps; a line that a kill cut short is left out.

    Those of `stages` come first, in that order.
    """
    order = {stage: place for place, stage in enumerate(stages)}
    files = sorted(model.glob(f"{RUN}/*/{METRICS}"))
    files.sort(key=lambda path: order.get(path.parent.name, len(order)))
    found = {path.parent.name: _curves(path) for path in files}
    return {stage: curves for stage, curves in found.items() if curves}


def _curves(path: Path) -> Curves:
    with path.open("rb") as file:
        lines = file.read(LARGEST).splitlines()
    curves: Curves = {}
    for line in lines:
        values = _numbers(line)
        step = values.get("step")
        for name, value in values.items():
            if step is not None and name not in UNSHOWN and (name in curves or len(curves) < MOST_SERIES):
                curves.setdefault(name, []).append((step, value))
    return curves


def _numbers(line: bytes) -> dict[str, float]:
    try:
        told: Any = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return {str(k): float(v) for k, v in told.items() if _is_number(v)} if isinstance(told, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 and math.isfinite(value)
