"""The page on which pictures are made: words and a button first, everything else folded away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from nicegui import ui

from sfumato.errors import SfumatoError
from sfumato.pipelines.request import Request
from sfumato.server.job import Job
from sfumato.server.studio.advice import Advice
from sfumato.server.studio.form import Form, kept
from sfumato.server.studio.history import History
from sfumato.server.studio.layout import page
from sfumato.server.studio.pictures import Picture, named
from sfumato.server.studio.rounds import AMOUNT, Round
from sfumato.server.studio.showing import Showing
from sfumato.server.studio.studio import Studio
from sfumato.server.studio.variations import near

AT_ONCE = 16  # jobs that are taken up again


def attach(studio: Studio) -> None:
    """Define the page."""

    @studio.page("/", "Create")
    async def create(settings: str = "") -> None:
        with page(studio, "Create"):
            made = Create(studio, studio.owner, studio.model)
        await ui.context.client.connected()
        await made.begin(settings)


class Create:
    """What the page does.

    Args:
        studio: makes and keeps the pictures.
        owner: who looks.
        model: the chosen one, by name.
    """

    def __init__(self, studio: Studio, owner: str, model: str) -> None:
        self._studio, self._owner, self._model = studio, owner, model
        self._side = 64
        self._form = Form(self.make, self._advise)
        self._advice = Advice(studio, model, self._form)
        self._rounds = ui.element("div").classes("rounds")
        self._showing = Showing(studio, again=self._same, vary=self._like, forgotten=self._forgotten)
        self._history = History(studio, owner, self._showing.show)

    async def begin(self, settings: str) -> None:
        """What waits until a browser is there: the draft, what is being made, the history, and the model.

        `settings` names a picture whose settings the form takes over.
        """
        self._form.restore(await kept())
        if settings and (picture := await asyncio.to_thread(named, self._studio, self._owner, settings)):
            self._take_over(picture)
        going = await asyncio.to_thread(self._going)
        if going:
            self._show(going, None)
        await self._history.refresh()
        await self._learn_usual()

    async def make(self) -> None:
        """Make what the form asks for."""
        if not self._form.words:
            self._form.complain("Say in a few words what the picture shows.")
            return

        def ask() -> list[tuple[Request, int]]:
            pipeline = self._studio.models.pipeline(self._model)
            count = self._form.pictures
            return [(pipeline.requests(self._form.words, **self._form.settings())[0], count)]

        await self._submit(ask, self.make)

    async def vary(self, pictures: Sequence[Picture], amount: float) -> None:
        """Make pictures near some."""

        def ask() -> list[tuple[Request, int]]:
            return [(request, 1) for request in near(pictures, amount)]

        async def again() -> None:
            await self.vary(pictures, amount)

        await self._submit(ask, again, pictures[0].job.model)

    async def _submit(
        self, ask: Callable[[], list[tuple[Request, int]]], again: Callable[[], Awaitable[None]], model: str = ""
    ) -> None:
        """Hand requests to the engine, once, and show what becomes of them."""
        if self._form.is_asking:
            return
        send = partial(self._studio.submit, self._owner, model or self._model)
        with self._form.asking():
            jobs, trouble = await asyncio.to_thread(lambda: send(ask()))
            self._show(jobs, again)
            self._form.complain(trouble)

    def _show(self, jobs: list[Job], again: Callable[[], Awaitable[None]] | None) -> None:
        for old in list(self._rounds):
            if isinstance(old, Round) and not old.running:
                old.delete()
        with self._rounds:
            made = Round(
                self._studio,
                jobs,
                self._size(jobs[0]),
                again=again or self.make,
                vary=self.vary,
                opened=self._showing.show,
                finished=self._history.refresh,
            )
        made.move(target_index=0)

    def _going(self) -> list[Job]:
        """What is still being made for this person."""
        return [job for job in self._studio.store.unfinished() if job.owner == self._owner][-AT_ONCE:]

    async def _learn_usual(self) -> None:
        """Load the model, and say in the form what it does by itself."""
        self._form.told.set_text(f"Loading the model {self._model}; you can type meanwhile.")
        try:
            pipeline = await asyncio.to_thread(self._studio.models.pipeline, self._model)
            self._side = pipeline.final_size
            self._form.show_usual(pipeline.requests("a", seed=0)[0], self._side)
        except SfumatoError as error:
            self._form.complain(str(error))
        self._form.told.set_text("")

    def _size(self, job: Job) -> tuple[int, int]:
        width, height = job.request.get("width"), job.request.get("height")
        return width or self._side, height or self._side

    async def _advise(self) -> None:
        self._form.complain()
        await self._advice.give()

    def _take_over(self, picture: Picture) -> None:
        try:
            self._form.fill(picture.request)
        except SfumatoError as error:  # it is of another version
            self._form.complain(str(error))

    def _same(self, picture: Picture) -> None:
        self._take_over(picture)
        ui.run_javascript("scrollTo({top: 0, behavior: 'smooth'})")

    async def _like(self, picture: Picture) -> None:
        await self.vary([picture], AMOUNT)

    async def _forgotten(self, picture: Picture) -> None:
        for shown in list(self._rounds):
            if isinstance(shown, Round) and picture.job.id in shown.ids:
                shown.delete()
        await self._history.refresh()
