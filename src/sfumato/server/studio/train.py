"""The page Train: data looked at, time and memory told, a training begun, watched, stopped and gone on with."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import Depends, HTTPException, Response
from fastapi.responses import FileResponse
from nicegui import app as pages
from nicegui import ui

from sfumato.errors import DataError, RecipeError
from sfumato.server.studio.controls import button
from sfumato.server.studio.layout import heading, look, page
from sfumato.server.studio.studio import Studio
from sfumato.server.studio.training.closer import PAGE, folder_of
from sfumato.server.studio.training.data_panel import DataPanel
from sfumato.server.studio.training.places import Places
from sfumato.server.studio.training.plan_panel import PlanPanel
from sfumato.server.studio.training.run_panel import RunPanel
from sfumato.server.studio.training.trainings import STATES_THAT_RUN, Training, Trainings

URL = "/_studio/training"
REFUSED = "Whoever runs this server has not allowed to train from the page."
CLOSED = {"Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"}
"""For a page made from data of anybody: it runs no program and asks for nothing."""


def attach(studio: Studio) -> None:
    """Define the page and its routes, and stop what it began when the server ends."""
    places = Places(studio.roots, studio.trained)
    trainings = Trainings(places)
    checks = studio.folder / "checks"

    async def ended() -> None:
        await asyncio.to_thread(trainings.stop)

    pages.on_shutdown(ended)
    _routes(studio, trainings, places, checks)

    @studio.page("/train", "Train")
    def train(model: str = "") -> None:
        with page(studio, "Train"):
            look("train")
            if studio.trains:
                Train(studio, trainings, places, checks).begin(model)
            else:
                ui.label(REFUSED)


class Train:
    """What the page does."""

    def __init__(self, studio: Studio, trainings: Trainings, places: Places, checks: Path) -> None:
        self._studio, self._trainings = studio, trainings
        heading("Train a model on pictures of your own")
        self._run = ui.element("div")
        self._data = DataPanel(places, checks, lambda data: self._plan.fit(data), report)
        self._plan = PlanPanel(trainings, lambda: self._data.data, self.show)
        self._list = ui.element("section").classes("step")

    def begin(self, model: str) -> None:
        """Show a training, if one is asked for or one is running; and the list of them all."""
        begun = self._trainings.begun()
        chosen = next((each for each in begun if each.name == model), None)
        running = (each for each in begun if each.state in STATES_THAT_RUN)
        if shown := chosen or next(running, None):
            self.show(shown)
        if begun:
            with self._list:
                heading("Begun before")
                with ui.element("div").classes("row"):
                    for each in begun:
                        button(
                            each.name, lambda each=each: self.show(each), "quiet", f"Show the training of {each.name}"
                        )

    def show(self, training: Training) -> None:
        """Watch a training."""
        self._run.clear()
        with self._run:
            RunPanel(training, sample, self._use)
        ui.run_javascript("scrollTo({top: 0, behavior: 'smooth'})")

    def _use(self, training: Training) -> str:
        """Offer a finished model in the header until the server ends, and go to make pictures with it."""
        try:
            self._studio.models.offer(training.name, training.folder)
        except RecipeError as error:
            return str(error)
        self._studio.choose(training.name)
        ui.navigate.to("/")
        return f"sfumato studio --model {training.name}={training.folder}"


def report(data: str) -> str:
    """The address of the report about data."""
    return f"{URL}/checks/{folder_of(Path(), data).name}"


def sample(training: Training, path: Path) -> str:
    """The address of a sample of a training."""
    return f"{URL}/samples/{training.name}/{path.parent.name}/{path.name}"


def _routes(studio: Studio, trainings: Trainings, places: Places, checks: Path) -> None:
    def trains() -> None:
        if not studio.trains:
            raise HTTPException(403, REFUSED)

    guarded = [Depends(studio.admit), Depends(trains)]

    @pages.get(URL + "/samples/{name}/{stage}/{file}", dependencies=guarded, include_in_schema=False)
    def sampled(name: str, stage: str, file: str) -> Response:
        try:
            run = trainings.named(name).run
        except DataError:
            raise HTTPException(404, "There is no such training.") from None
        known = {(each.parent.name, each.name): each for each in run.glob("*/samples-*.png")}
        path = known.get((stage, file))
        if path is None:
            raise HTTPException(404, "There is no such sample.")
        return FileResponse(path, media_type="image/png", headers={"X-Content-Type-Options": "nosniff"})

    @pages.get(URL + "/checks/{name}", dependencies=guarded, include_in_schema=False)
    def checked(name: str) -> Response:
        known = {each.parent.name: each for each in checks.glob(f"*/{PAGE}")}
        if name not in known:
            raise HTTPException(404, "There is no such report.")
        return FileResponse(known[name], media_type="text/html", headers=CLOSED)
