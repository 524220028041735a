"""Pictures that are made together: again, more like these, or the better ones refined."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from nicegui import background_tasks, ui

from sfumato.errors import SfumatoError
from sfumato.server.job import FINISHED, Job
from sfumato.server.studio.controls import button
from sfumato.server.studio.pictures import Picture, picture_of
from sfumato.server.studio.showing import ways_on
from sfumato.server.studio.studio import Studio
from sfumato.server.studio.tile import Tile

Vary = Callable[[Sequence[Picture], float], Awaitable[None]]
AMOUNT = 0.35  # how far variations go at first, 0 to 1


def emerging(shares: Sequence[float]) -> str:
    """How far pictures are together; in quarters alone, since every change is read aloud."""
    quarter = int(4 * sum(shares) / len(shares))
    return f"Emerging, {25 * quarter} %" if quarter else "Emerging from noise"


class Round(ui.element):
    """The jobs of one round, followed to their end.

    Args:
        studio: where they are made.
        jobs: the jobs, all of the same person.
        size: of a finished picture in pixels.
        again: makes the same with other seeds.
        vary: makes variations of pictures, so far away as the number says, 0 to 1.
        opened: called with a finished picture that was clicked.
        finished: called once all is done.
    """

    def __init__(
        self,
        studio: Studio,
        jobs: Sequence[Job],
        size: tuple[int, int],
        *,
        again: Callable[[], Awaitable[None]],
        vary: Vary,
        opened: Callable[[Picture], None],
        finished: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__("section")
        self.classes("round").props('aria-label="What is being made"')
        self._studio, self._jobs, self._vary, self._again, self._finished = studio, list(jobs), vary, again, finished
        self._tiles: dict[tuple[str, int], Tile] = {}
        self._picks: dict[tuple[str, int], ui.checkbox] = {}
        with self:
            alone = sum(job.count for job in jobs) == 1
            with ui.element("div").classes("tiles alone" if alone else "tiles"):
                for job in jobs:
                    for number in range(job.count):
                        prompt = str(job.request.get("prompt") or "")
                        self._tiles[job.id, number] = Tile(prompt, size, opened)
            with ui.element("div").classes("row told"):
                self._told = ui.label().props("role=status").classes("soft")
                self._cancel = button("Cancel", self.cancel)
                self._cancel.props["data-key"] = "Escape"
            self.deeds = ui.element("div").classes("row deeds")
        background_tasks.create(self._follow_all(), name="follow a round")

    @property
    def running(self) -> bool:
        """Whether something is still being made."""
        return any(job.state not in FINISHED for job in self._jobs)

    @property
    def ids(self) -> set[str]:
        """Of its jobs."""
        return {job.id for job in self._jobs}

    async def cancel(self) -> None:
        """Stop what is not finished; what is finished stays."""
        self._cancel.disable()
        for job in self._jobs:
            if job.state not in FINISHED:
                await asyncio.to_thread(self._studio.engine.cancel, job.id)

    async def _follow_all(self) -> None:
        await asyncio.gather(*(self._follow(place) for place in range(len(self._jobs))))
        if self.is_deleted:
            return
        self._cancel.set_visibility(False)
        self._end()
        await self._finished()

    async def _follow(self, place: int) -> None:
        job = self._jobs[place]
        await self._show_kept(job)
        try:
            async for event in self._studio.engine.follow(job.id):
                if self.is_deleted:
                    return
                if event.kind == "queued":
                    self._tell_position(event.position)
                elif event.kind == "step":
                    tile = self._tiles[job.id, event.picture]
                    tile.advance(event)
                    self._tell_share()
                    await tile.show(event)
                elif event.kind == "picture":
                    await self._show_kept(job)
        except SfumatoError as error:
            self._told.set_text(str(error))
        left = await asyncio.to_thread(self._studio.store.job, job.id)
        self._jobs[place] = left or job
        await self._show_kept(job)

    async def _show_kept(self, job: Job) -> None:
        for number in await asyncio.to_thread(self._studio.store.kept, job.id):
            tile = self._tiles[job.id, number]
            if tile.picture is None and (picture := picture_of(self._studio, job.owner, job, number)):
                tile.finish(picture)

    def _tell_position(self, position: int) -> None:
        before = f"{position} picture{'s' * (position != 1)} come{'s' * (position == 1)} before" if position else ""
        self._told.set_text(f"Waiting: {before}" if before else "About to begin")

    def _tell_share(self) -> None:
        told = emerging([tile.share for tile in self._tiles.values()])
        if told != self._told.text:
            self._told.set_text(told)

    def _end(self) -> None:
        for tile in self._tiles.values():
            tile.give_up()
        made = [tile for tile in self._tiles.values() if tile.picture]
        self._told.set_text(self._outcome(len(made)))
        with self.deeds:
            button("Again", self._again)
            if made:
                self._offer(made)

    def _outcome(self, made: int) -> str:
        failed = [job.error for job in self._jobs if job.state == "failed"]
        if failed:
            self._told.classes(add="bad", remove="soft")
            return failed[0] or "Something went wrong."
        if any(job.state == "cancelled" for job in self._jobs):
            return f"Cancelled; {made} finished." if made else "Cancelled."
        if self.running:
            return "The server is being stopped; this goes on when it is there again."
        return "Finished." if made == 1 else f"{made} pictures finished."

    def _offer(self, made: Sequence[Tile]) -> None:
        """Variations of the one, or of those that are picked."""
        self._press = button("More like this", self._refine)
        with ui.element("label").classes("amount"):
            ui.label("a little").classes("soft small")
            self._amount = ui.element("input").props(f"type=range min=0.05 max=1 step=0.05 value={AMOUNT}")
            self._amount.props["aria-label"] = "How different variations are, from a little to a lot"
            self._chosen = AMOUNT
            self._amount.on("input", lambda event: self._choose(event.args), js_handler="e => emit(+e.target.value)")
            ui.label("a lot").classes("soft small")
        if len(made) == 1 and made[0].picture:
            with ui.element("div").classes("row links"):
                ways_on(made[0].picture)
        else:
            self._press.set_text("Pick the better ones")
            self._press.disable()
            for key, tile in self._tiles.items():
                if tile.picture:
                    with tile.below:
                        self._picks[key] = ui.checkbox("pick", on_change=self._picked).props("dense")

    def _choose(self, amount: float) -> None:
        self._chosen = min(max(float(amount), 0.0), 1.0)

    def _picked(self) -> None:
        for key, box in self._picks.items():
            self._tiles[key].classes(**({"add": "picked"} if box.value else {"remove": "picked"}))
        count = sum(bool(box.value) for box in self._picks.values())
        refine = "Refine the picked one" if count == 1 else f"Refine the {count} picked"
        self._press.set_text(refine if count else "Pick the better ones")
        self._press.set_enabled(count > 0)

    async def _refine(self) -> None:
        picked = [self._tiles[key].picture for key, box in self._picks.items() if box.value]
        if not self._picks:
            picked = [tile.picture for tile in self._tiles.values()]
        await self._vary([picture for picture in picked if picture], self._chosen)
