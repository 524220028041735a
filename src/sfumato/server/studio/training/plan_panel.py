"""The part of the page Train where it is decided how to train, told how long it takes, and begun."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from nicegui import ui

from sfumato.errors import DataError, SfumatoError
from sfumato.server.studio.controls import button, choice, line
from sfumato.server.studio.layout import heading
from sfumato.server.studio.training.asked import Asked, checked, fitting
from sfumato.server.studio.training.estimate import Estimate, clock, estimate
from sfumato.server.studio.training.trainings import Training, Trainings
from sfumato.training import recipe as recipes

OWN = "the recipe's own"

GIB = 2**30


class PlanPanel:
    """How to train, and how long that will take.

    Args:
        trainings: where the models are.
        data: what it learns from; DataError when nothing usable is chosen.
        begun: called with the training that was begun.
    """

    def __init__(self, trainings: Trainings, data: Callable[[], str], begun: Callable[[Training], None]) -> None:
        self._trainings, self._data, self._begun = trainings, data, begun
        self._estimating: asyncio.Task[Estimate] | None = None
        with ui.element("section").classes("step"):
            heading("How")
            with ui.element("div").classes("fields"):
                self.recipe = choice("Recipe", recipes.names(), "digits")
                self.size = choice("Size of the networks", [OWN, *recipes.SIZES], OWN)
                self.budget = line("Time, such as 10m or 2h", "as the recipe says")
                self.name = line("Name of the model", props="maxlength=64 spellcheck=false")
                self.name.value = "my-model"
            with ui.element("div").classes("row"):
                self._start = button("Start", self.start, "main")
                self._estimate = button("How long will it take?", self.tell)
                self._cancel = button("Cancel", self.cancel, "quiet", "Stop estimating")
                self._told = ui.label().props("role=status").classes("soft")
            self._trouble = ui.label().props("role=alert").classes("bad said")
            self._shown = ui.element("div")
        self._cancel.set_visibility(False)

    def fit(self, data: str) -> None:
        """Suggest what data usually take."""
        self.recipe.value = fitting(data)
        self._shown.clear()
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(data).stem).strip("-_")[:48]
        taken = {training.name for training in self._trainings.begun()}
        names = [stem or "my-model", *(f"{stem or 'my-model'}-{number}" for number in range(2, 1000))]
        self.name.value = next(name for name in names if name not in taken)

    def asked(self) -> tuple[Asked, Training]:
        """What stands in the fields; a SfumatoError says what is wrong."""
        size = "" if self.size.value == OWN else self.size.value
        asked = checked(self._data(), self.recipe.value, size, (self.budget.value or "").strip())
        return asked, self._trainings.named((self.name.value or "").strip())

    async def tell(self) -> None:
        """Train for a moment, and tell time and memory."""
        self._trouble.set_text("")
        self._shown.clear()
        self._told.set_text("Each stage is tried for a moment …")
        self._estimate.disable()
        self._cancel.set_visibility(True)
        try:
            asked, training = self.asked()
            self._estimating = asyncio.create_task(estimate(asked, training.folder))
            told = await self._estimating
            with self._shown:
                show(told)
        except SfumatoError as error:
            self._trouble.set_text(str(error))
        except asyncio.CancelledError:
            pass
        finally:
            self._told.set_text("")
            self._cancel.set_visibility(False)
            self._estimate.enable()

    def cancel(self) -> None:
        """Stop telling."""
        if self._estimating:
            self._estimating.cancel()

    async def start(self) -> None:
        """Begin to train."""
        self._trouble.set_text("")
        self._start.disable()
        try:
            asked, training = self.asked()
            if training.asked is not None:
                raise DataError(f"There is a model {training.name} already; go on with it below, or take another name.")
            await asyncio.to_thread(training.start, asked)
            self._begun(training)
        except SfumatoError as error:
            self._trouble.set_text(str(error))
        finally:
            self._start.enable()


def show(told: Estimate) -> None:
    """An estimate as a table."""
    with ui.element("table").classes("estimate"):
        with ui.element("caption"):
            ui.label(_caption(told))
        for stage in told.stages:
            with ui.element("tr"):
                with ui.element("th").props("scope=row"):
                    ui.label(stage.name)
                for text in (stage.size, f"{stage.steps:,} steps", clock(stage.seconds)):
                    with ui.element("td"):
                        ui.label(text)
    memory = f"{told.memory / GIB:.1f} GiB of memory"
    free = f" of {told.free / GIB:.1f} that were free" if told.free is not None else ""
    ui.label(f"{memory}{free}; {told.disk / GIB:.0f} GiB of disk are free.").classes("soft small")
    if not told.fits:
        ui.label("That is too little memory: choose a smaller size of the networks.").classes("bad")


def _caption(told: Estimate) -> str:
    aside = f", {told.set_aside:,} left out" if told.set_aside else ""
    return f"About {clock(told.seconds)} in all, from {told.samples:,} samples{aside}"
