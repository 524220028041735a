"""Everything made so far, newest first: searched, paged, walked through with the arrow keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicegui import ui

from sfumato.server.job import Job
from sfumato.server.studio.controls import button, words
from sfumato.server.studio.pictures import Picture, picture_of
from sfumato.server.studio.studio import Studio

PAGE = 24  # jobs


class History(ui.element):
    """The pictures of one person; `opened` is called with the one that is clicked."""

    def __init__(self, studio: Studio, owner: str, opened: Callable[[Picture], None]) -> None:
        super().__init__("section")
        self.classes("history").props('aria-label="Everything made so far"')
        self._studio, self._owner, self._opened = studio, owner, opened
        self._before: float | None = None
        self._asked = 0
        with self:
            with ui.element("div").classes("row between"):
                words("h2", "Made so far")
                self._search = ui.input(placeholder="Search the words", on_change=self.refresh)
                self._search.props("outlined dense debounce=300 clearable type=search").classes("search")
                self._search.props["aria-label"] = "Search the words of everything made so far"
            self._grid = ui.element("div").classes("grid").props("data-arrows role=group")
            self._grid.props["aria-label"] = "Pictures; the arrow keys go from one to the next"
            self._told = ui.label().props("role=status").classes("soft")
            self._older = button("Older ones", self._more)
            self._older.set_visibility(False)

    async def refresh(self) -> None:
        """Begin again with the newest."""
        pictures = await self._found(None)
        if pictures is None:
            return
        self._grid.clear()
        self._add(pictures)
        if pictures:
            self._told.set_text("")
        else:
            search = self._search.value
            self._told.set_text("Nothing with these words." if search else "What you make is kept here.")

    async def _more(self) -> None:
        self._add(await self._found(self._before) or [])

    async def _found(self, before: float | None) -> list[Picture] | None:
        """The pictures of the next page of jobs; None where something else was asked for meanwhile."""
        self._asked += 1
        mine = self._asked
        jobs, pictures = await asyncio.to_thread(self._page, self._search.value or "", before)
        if mine != self._asked or self.is_deleted:
            return None
        if jobs:
            self._before = jobs[-1].created
        self._older.set_visibility(len(jobs) == PAGE)
        return pictures

    def _page(self, search: str, before: float | None) -> tuple[list[Job], list[Picture]]:
        jobs = self._studio.store.jobs(owner=self._owner, search=search, before=before, limit=PAGE)
        kept = ((job, number) for job in jobs for number in self._studio.store.kept(job.id))
        pictures = (picture_of(self._studio, self._owner, job, number) for job, number in kept)
        return jobs, [picture for picture in pictures if picture]

    def _add(self, pictures: list[Picture]) -> None:
        with self._grid:
            for picture in pictures:
                with ui.element("button").props("type=button").classes("thumb").mark("thumb") as thumb:
                    image = ui.element("img").props("loading=lazy")
                    image.props["src"], image.props["alt"] = picture.small_url, picture.prompt
                thumb.on("click", lambda _, picture=picture: self._opened(picture))
                thumb.props["title"] = picture.prompt[:200]
