"""The part of the page Train where one training is watched, stopped and gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from nicegui import ui

from sfumato.errors import SfumatoError
from sfumato.server.studio.controls import Bar, Fold, button
from sfumato.server.studio.layout import heading
from sfumato.server.studio.training.curves import curves
from sfumato.server.studio.training.estimate import clock
from sfumato.server.studio.training.trainings import State, Training
from sfumato.server.studio.training.watching import StageView, Watch

EVERY = 1.0  # seconds between looks at the run folder
LONGEST_TEXT = 4000  # characters of a sample that is a text

STATES: dict[State, str] = {
    "running": "It is being trained.",
    "stopping": "It keeps what it has and stops …",
    "stopped": "It stands still; it goes on where it stopped.",
    "failed": "It failed. What was finished is kept.",
    "done": "It is finished.",
}


class RunPanel(ui.element):
    """One training, looked at again and again while the page is open.

    Args:
        training: which.
        sample: the address of a sample of a stage.
        use: called with a finished training whose model is wanted; gives what there is to say.
    """

    def __init__(
        self, training: Training, sample: Callable[[Training, Path], str], use: Callable[[Training], str]
    ) -> None:
        super().__init__("section")
        self.classes("step run").props["aria-label"] = f"The training of {training.name}"
        self._training, self._sample, self._use = training, sample, use
        self._watch = Watch(training.run)
        self._stages: dict[str, StagePanel] = {}
        self._refused = ""  # why it did not go on
        with self:
            heading(training.name)
            self._told = ui.label().props("role=status")
            self._error = ui.label().classes("bad said").props("role=alert")
            with ui.element("div").classes("row"):
                self._stop = button("Stop", self._ask_to_stop)
                self._stop.props["data-key"] = "Escape"
                self._go_on = button("Go on", self._ask_to_go_on, "main")
                self._take = button("Use this model", self._ask_to_use, "main")
            self._used = ui.label().classes("code")
            self._shown = ui.element("div").classes("stages")
            with Fold("What it said").inside():
                self._said = ui.label().classes("code")
            self._timer = ui.timer(EVERY, self.refresh)

    async def refresh(self) -> None:
        """Look at the run folder, and show what changed."""
        stages, state, said, error = await asyncio.to_thread(self._look)
        if self.is_deleted:
            return
        self._told.set_text(STATES[state])
        self._error.set_text(error or self._refused)
        self._said.set_text(said)
        self._stop.set_visibility(state == "running")
        self._go_on.set_visibility(state in ("stopped", "failed") and self._training.asked is not None)
        self._take.set_visibility(state == "done")
        for view in stages:
            if view.name not in self._stages:
                with self._shown:
                    self._stages[view.name] = StagePanel(view.name)
            self._stages[view.name].show(view, state, self._addresses(view.samples))

    def _look(self) -> tuple[list[StageView], State, str, str]:
        return self._watch.stages(), self._training.state, self._training.said, self._training.error

    def _addresses(self, samples: Sequence[Path]) -> list[tuple[Path, str]]:
        return [(path, self._sample(self._training, path)) for path in samples]

    async def _ask_to_stop(self) -> None:
        await asyncio.to_thread(self._training.stop)
        await self.refresh()

    async def _ask_to_go_on(self) -> None:
        try:
            await asyncio.to_thread(self._training.go_on)
            self._refused = ""
        except SfumatoError as error:
            self._refused = str(error)
        await self.refresh()

    def _ask_to_use(self) -> None:
        self._used.set_text(self._use(self._training))


class StagePanel:
    """One stage: how far it is, its curves, and what its networks could do last."""

    def __init__(self, name: str) -> None:
        self._sampled: Path | None = None
        self._drawn = ""
        with ui.element("div").classes("stage"):
            with ui.element("div").classes("row between"):
                heading(name, 3)
                self._told = ui.label().classes("soft small")
            self._bar = Bar(f"How far {name} is")
            with ui.element("div").classes("seen"):
                self._curves = ui.html(sanitize=False)
                self._sample = ui.element("div").classes("sample")
        self._name = name

    def show(self, view: StageView, state: State, samples: Sequence[tuple[Path, str]]) -> None:
        """Show what changed."""
        self._told.set_text(_progress(view, state))
        self._bar.show(view.step / view.steps if view.steps else 0)
        drawn = curves(view.name, view.curves)
        if drawn != self._drawn:
            self._drawn = drawn
            self._curves.set_content(drawn)
        if samples and samples[-1][0] != self._sampled:
            self._sampled = samples[-1][0]
            self._show_sample(*samples[-1])

    def _show_sample(self, path: Path, address: str) -> None:
        step = int(path.stem.rpartition("-")[2] or 0)
        self._sample.clear()
        with self._sample:
            if path.suffix == ".txt":
                ui.label(path.read_text(encoding="utf-8", errors="replace")[:LONGEST_TEXT]).classes("code")
            else:
                image = ui.element("img")
                image.props["src"], image.props["alt"] = address, f"What {self._name} could do at step {step:,}"
            ui.label(f"at step {step:,}").classes("soft small")


def _progress(view: StageView, state: State) -> str:
    if view.state == "done":
        return f"{view.steps:,} steps, done"
    if view.state == "waiting":
        return "not yet"
    if view.state == "preparing" and not view.steps:
        return "preparing …" if state == "running" else "not begun"
    left = f", {clock(view.seconds_left)} left" if view.seconds_left is not None and state == "running" else ""
    return f"step {view.step:,} of {view.steps:,}{left}"
