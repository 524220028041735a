"""One finished picture, large: how it was made, and what can be done with it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from nicegui import ui

from sfumato.errors import SfumatoError
from sfumato.server.studio.controls import button, words
from sfumato.server.studio.enlarging import Enlarging
from sfumato.server.studio.pictures import Picture
from sfumato.server.studio.studio import Studio

TOLD = {
    "seed": "Seed",
    "num_inference_steps": "Steps",
    "guidance_scale": "Guidance",
    "solver": "Solver",
    "negative_prompt": "Not to be seen",
    "strength": "Strength",
    "variation": "Variation",
}
"""What of a request is told in words; the whole recipe is below."""


class Showing(ui.dialog):
    """A dialog for one picture after the other.

    Args:
        studio: where the picture is kept.
        again: takes over what it was made from.
        vary: makes variations of it.
        forgotten: called once it was deleted.
    """

    def __init__(
        self,
        studio: Studio,
        *,
        again: Callable[[Picture], Any],
        vary: Callable[[Picture], Awaitable[None]],
        forgotten: Callable[[Picture], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._studio, self._again, self._vary, self._forgotten = studio, again, vary, forgotten
        self.props["aria-label"] = "A picture and how it was made"
        with self:
            self._card = ui.element("div").classes("q-card showing")

    def show(self, picture: Picture) -> None:
        """Open with a picture."""
        self._card.clear()
        with self._card:
            button("×", self.close, "quiet", "Close").classes("close")
            with ui.element("figure"):
                image = ui.element("img")
                image.props["src"], image.props["alt"] = picture.url, picture.prompt
            with ui.element("div").classes("told"):
                words("h2", picture.prompt)
                _facts(picture)
                self._deeds(picture, image)
                _recipe(picture)
        self.open()

    def _deeds(self, picture: Picture, image: ui.element) -> None:
        with ui.element("div").classes("row"):
            button("More like this", lambda: self._leave(self._vary, picture), "main")
            button("Same settings", lambda: self._leave(self._again, picture))
        with ui.element("div").classes("row links"):
            ways_on(picture)
            Enlarging(self._studio, picture, image)
            self._deletion(picture)

    def _deletion(self, picture: Picture) -> None:
        """Deleting takes a second press, and says how much goes."""
        whole = "" if picture.job.count == 1 else f" all {picture.job.count} of this round"

        def ask() -> None:
            first.set_visibility(False)
            second.set_visibility(True)
            second.run_method("$el.focus")

        first = button(f"Delete{whole}", ask, "quiet")
        second = button(f"Yes, delete{whole} for good", lambda: self._forget(picture), "quiet").classes("bad")
        second.set_visibility(False)

    async def _forget(self, picture: Picture) -> None:
        try:
            await asyncio.to_thread(self._studio.store.forget, picture.job.id)
        except SfumatoError as error:
            ui.notify(str(error))
            return
        self.close()
        await self._forgotten(picture)

    async def _leave(self, deed: Callable[[Picture], Any], picture: Picture) -> None:
        self.close()
        waiting = deed(picture)
        if waiting is not None:
            await waiting


def ways_on(picture: Picture) -> None:
    """Links to what else can be done with a picture."""
    ui.link("Edit", f"/edit?picture={picture.name}")
    ui.link("X-ray", f"/xray?picture={picture.name}")
    ui.link("Download", picture.url).props["download"] = f"sfumato-{picture.job.id[:8]}-{picture.number}.png"


def _facts(picture: Picture) -> None:
    with ui.element("dl").classes("facts"):
        for name, value in _told(picture):
            with ui.element("div"):
                words("dt", name)
                words("dd", value)


def _told(picture: Picture) -> Iterator[tuple[str, str]]:
    yield "Model", picture.job.model
    asked = picture.job.request
    known = {**asked, "seed": int(asked.get("seed", 0)) + picture.number, "variation": asked.get("variation") or None}
    for name, label in TOLD.items():
        value = known.get(name)
        if value is not None and value != "":
            yield label, f"{value:g}" if isinstance(value, float) else str(value)
    yield "Made", time.strftime("%-d %B %Y, %H:%M", time.localtime(picture.job.created))


def _recipe(picture: Picture) -> None:
    recipe = picture.recipe()
    if recipe:
        with ui.element("details"):
            words("summary", "The whole recipe")
            words("pre", json.dumps(recipe, indent=2, ensure_ascii=False)).classes("code").props("tabindex=0")
