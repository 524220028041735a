"""A run folder followed while a training writes it: how far each stage is, its curves and its samples."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

MOST_POINTS = 600  # kept of a curve; beyond, every second one is dropped
LARGEST_READ = 4 * 2**20  # bytes of metrics read at once
CURVES = ("loss", "validation_loss")

Points = list[tuple[int, float]]


@dataclass
class Curve:
    """Values over steps, thinned evenly when they become many."""

    points: Points = field(default_factory=list)
    _every: int = 1
    _seen: int = 0

    def add(self, step: int, value: float) -> None:
        """The next value."""
        if self._seen % self._every == 0:
            self.points.append((step, value))
        self._seen += 1
        if len(self.points) > MOST_POINTS:
            del self.points[1::2]
            self._every *= 2


@dataclass
class Metrics:
    """The metrics of one stage, read on where the last reading ended.

    Attributes:
        path: of the JSON lines.
        curves: by the names of `CURVES`.
        last: the newest line; empty before the first.
    """

    path: Path
    curves: dict[str, Curve] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)
    _place: int = 0
    _inode: int = 0

    def read(self) -> None:
        """Take in what was written since; anew where the file was replaced, as when a training goes back."""
        try:
            told = self.path.stat()
            if told.st_ino != self._inode or told.st_size < self._place:
                self.curves, self.last, self._place, self._inode = {}, {}, 0, told.st_ino
            with self.path.open("rb") as file:
                file.seek(self._place)
                content = file.read(LARGEST_READ)
        except OSError:
            return
        whole = content[: content.rfind(b"\n") + 1]  # a line may be half written
        self._place += len(whole)
        for line in whole.splitlines():
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                self._take(json.loads(line))

    def _take(self, values: Mapping[str, Any]) -> None:
        step = int(values["step"])
        for name in CURVES:
            value = values.get(name)
            if isinstance(value, int | float) and math.isfinite(value):
                self.curves.setdefault(name, Curve()).add(step, float(value))
        self.last = values


@dataclass(frozen=True)
class StageView:
    """How a stage stands.

    Attributes:
        name: of the stage.
        state: "waiting", "preparing", "training" or "done".
        step, steps: how far it is; 0 of 0 before it is planned.
        seconds_left: until its last step at the speed it has; None where that is not known.
        curves: by name.
        samples: files of what the networks could do, oldest first; pictures or texts.
    """

    name: str
    state: Literal["waiting", "preparing", "training", "done"]
    step: int
    steps: int
    seconds_left: float | None
    curves: Mapping[str, Points]
    samples: tuple[Path, ...]


class Watch:
    """One run folder, followed."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._metrics: dict[str, Metrics] = {}

    def stages(self) -> list[StageView]:
        """All stages of the recipe, in their order; none before the training has read its recipe."""
        views = [self._view(name) for name in self._names()]
        first = next((place for place, view in enumerate(views) if view.state != "done"), None)
        if first is not None and views[first].state == "waiting":
            views[first] = StageView(**{**vars(views[first]), "state": "preparing"})
        return views

    def _names(self) -> tuple[str, ...]:
        from sfumato.errors import RecipeError
        from sfumato.training import recipe as recipes

        told = _json(self.run / "recipe.json")
        told.pop("budget", None)
        if not told:
            return ()
        try:
            return recipes.check(told, "recipe.json").stages
        except RecipeError:  # of another version
            return tuple(sorted(path.parent.name for path in self.run.glob("*/plan.json")))

    def _view(self, name: str) -> StageView:
        folder = self.run / name
        metrics = self._metrics.setdefault(name, Metrics(folder / "metrics.jsonl"))
        metrics.read()
        plan, done = _json(folder / "plan.json"), _json(folder / "done.json")
        steps = _whole(plan.get("steps"))
        step = steps if done else _whole(metrics.last.get("step"))
        speed = metrics.last.get("steps_per_second")
        left = (steps - step) / speed if isinstance(speed, float) and speed > 0 and not done else None
        state: Literal["waiting", "training", "done"] = "done" if done else "training" if plan else "waiting"
        curves = {key: curve.points for key, curve in metrics.curves.items()}
        return StageView(name, state, step, steps, left, curves, tuple(_samples(folder)))


def _samples(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("samples-*")):
        if path.suffix in (".png", ".txt"):
            yield path


def _json(path: Path) -> dict[str, Any]:
    """A small table that the training wrote; empty where it is not there or being replaced."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
