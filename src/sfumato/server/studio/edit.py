"""The page Edit: a picture changed as a whole or in part, extended, or things placed in it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from nicegui import app as pages
from nicegui import ui
from PIL import Image

from sfumato.errors import SfumatoError
from sfumato.pipelines.request import Request
from sfumato.server.job import Job
from sfumato.server.studio.controls import words
from sfumato.server.studio.editing.easel import Easel
from sfumato.server.studio.editing.opening import Opening
from sfumato.server.studio.editing.outcome import Outcome
from sfumato.server.studio.editing.sheet import Sheet, empty, laid_down
from sfumato.server.studio.editing.tools import Tools
from sfumato.server.studio.form import Form
from sfumato.server.studio.form import kept as typed
from sfumato.server.studio.layout import look, page
from sfumato.server.studio.pictures import Picture, named, picture_of
from sfumato.server.studio.rounds import Round
from sfumato.server.studio.studio import Studio
from sfumato.server.studio.variations import near

KEPT = "sheet"  # in the storage of the tab


def attach(studio: Studio) -> None:
    """Define the page."""

    @studio.page("/edit", "Edit")
    async def edit(picture: str = "") -> None:
        with page(studio, "Edit"):
            look("edit")
            made = Edit(studio, studio.owner, studio.model)
        await ui.context.client.connected()
        await made.begin(picture)


class Edit:
    """What the page does.

    Args:
        studio: makes and keeps the pictures.
        owner: who looks.
        model: the chosen one, by name.
    """

    def __init__(self, studio: Studio, owner: str, model: str) -> None:
        self._studio, self._owner, self._model = studio, owner, model
        self._sheet: Sheet | None = None
        self._tab: MutableMapping[str, Any] = {}  # what is remembered of it, also where it is forgotten meanwhile
        self._opening = Opening(studio, owner, self.lay, self._complain)
        self._trouble = words("p", "").classes("bad").props("role=alert")
        self._table = ui.element("div").classes("table")
        self._form = Form(self.make, lambda: self._form.complain())
        self._form.without_size()
        self._outcome = ui.element("div")
        self._made = ui.element("div").classes("rounds")

    async def begin(self, name: str) -> None:
        """What waits until a browser is there: the picture that the address names, or what lay on the table."""
        if not ui.context.client.has_socket_connection:
            return
        self._form.restore(await typed())
        self._tab = pages.storage.tab
        kept = copy.deepcopy(self._tab.get(KEPT))  # which a duplicated tab shares with the one that it is a copy of
        if name and (picture := await asyncio.to_thread(named, self._studio, self._owner, name)):
            await self._opening.open(picture)
        elif isinstance(kept, Sheet) and kept.model == self._model:
            self._spread(kept)
        else:
            await self.lay(kept.picture if isinstance(kept, Sheet) else None)

    async def lay(self, picture: Image.Image | None) -> None:
        """Put a picture on the table, or an empty sheet."""
        self._complain("")

        def laid() -> Sheet:
            pipeline = self._studio.models.pipeline(self._model)
            return laid_down(picture, pipeline, self._model) if picture else empty(pipeline, self._model)

        try:
            self._spread(await asyncio.to_thread(laid))
        except SfumatoError as error:
            self._complain(str(error))

    def _spread(self, sheet: Sheet) -> None:
        self._sheet = self._tab[KEPT] = sheet
        self._table.clear()
        if not sheet.ways:
            self._complain(f"The model {sheet.model} makes pictures from words alone; choose another one above.")
            return
        with self._table:
            frame = ui.element("div").classes("place")
            tools = Tools(sheet, self._form.complain)
            with frame:
                easel = Easel(
                    sheet.source,
                    "The picture to be changed" if sheet.picture else "An empty sheet",
                    sheet.mask,
                    painted=tools.painted,
                    drawn=tools.drawn,
                    changed=tools.changed,
                    removed=tools.removed,
                    chosen=tools.chosen,
                )
        tools.serve(easel)

    # --- making -------------------------------------------------------------------------------------------------------

    async def make(self) -> None:
        """Make what the form and the table ask for."""
        sheet = self._sheet
        if sheet is None or not sheet.ways:
            return
        if not self._form.words and sheet.way != "places":
            self._form.complain("Say in a few words what the picture shows when it is done.")
            return

        def ask() -> list[tuple[Request, int]]:
            pipeline = self._studio.models.pipeline(self._model)
            settings = {**self._form.settings(), **sheet.settings()}
            return [(pipeline.requests(self._form.words, **settings)[0], self._form.pictures)]

        await self._submit(ask, sheet.model, sheet.before, sheet.whole)

    async def _submit(
        self,
        ask: Callable[[], list[tuple[Request, int]]],
        model: str,
        before: Callable[[], str],
        size: tuple[int, int],
    ) -> None:
        """Hand requests to the engine, once, and show what becomes of them, beside what they were made from."""
        if self._form.is_asking:
            return

        def submit() -> tuple[list[Job], str, str]:
            return *self._studio.submit(self._owner, model, ask()), before()

        def opened(picture: Picture) -> None:
            self._show(picture, source, size)

        async def vary(pictures: Sequence[Picture], amount: float) -> None:
            def beside() -> list[tuple[Request, int]]:
                return [(request, 1) for request in near(pictures, amount)]

            await self._submit(beside, model, lambda: source, size)

        async def finished() -> None:
            if only := await asyncio.to_thread(self._only, jobs):
                opened(only)
                self._made.classes("compared")  # and need not be seen twice

        with self._form.asking():
            jobs, trouble, source = await asyncio.to_thread(submit)
            self._form.complain(trouble)
            self._made.classes(remove="compared").clear()
            self._outcome.clear()
            with self._made:
                Round(self._studio, jobs, size, again=self.make, vary=vary, opened=opened, finished=finished)

    def _only(self, jobs: Sequence[Job]) -> Picture | None:
        """The only picture that was made, which is compared at once; of several a person chooses."""
        kept = [(job, number) for job in jobs for number in self._studio.store.kept(job.id)]
        return picture_of(self._studio, self._owner, *kept[0]) if len(kept) == 1 else None

    def _show(self, picture: Picture, before: str, size: tuple[int, int]) -> None:
        self._outcome.clear()
        with self._outcome:
            Outcome(picture, before, size, self._go_on)

    async def _go_on(self, picture: Picture) -> None:
        await self._opening.open(picture)
        self._outcome.clear()
        ui.run_javascript("scrollTo({top: 0, behavior: 'smooth'})")

    def _complain(self, trouble: str) -> None:
        self._trouble.set_text(trouble)
