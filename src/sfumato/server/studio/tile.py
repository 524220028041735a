"""One picture on the page, from the first haze to the finished thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicegui import ui
from PIL import Image

from sfumato.server.encoding import address
from sfumato.server.job import Event
from sfumato.server.studio.controls import Bar
from sfumato.server.studio.pictures import Picture

MAIN = 0.85  # of the work is denoising
PREVIEW = 512  # pixels of the longer side of a picture that is not finished


class Tile(ui.element):
    """A figure: the picture, and under it how far it is.

    Args:
        prompt: what it will show, for those who hear the page.
        size: of the finished picture in pixels, so that nothing jumps.
        opened: called with the finished picture when it is clicked.

    Attributes:
        picture: when it is finished.
        share: of its work that is done, 0 to 1.
    """

    def __init__(self, prompt: str, size: tuple[int, int], opened: Callable[[Picture], None]) -> None:
        super().__init__("figure")
        self.classes("tile").style(f"--ratio: {size[0]} / {size[1]}")
        self.picture: Picture | None = None
        self.share = 0.0
        self._opened, self._prompt = opened, prompt
        with self:
            with ui.element("button").classes("frame").on("click", self._open) as self._frame:
                self._image = ui.element("img").classes("haze")
            self._frame.props("type=button disabled")
            self._image.props["alt"] = ""
            self._bar = Bar(f"How far the picture is: {prompt[:80]}")
            self.below = ui.element("div").classes("below")

    def advance(self, event: Event) -> None:
        """Follow one step."""
        if event.steps:
            self.share = _share(event)
            self._bar.show(self.share)

    async def show(self, event: Event) -> None:
        """Show how it looks now."""
        if event.preview is not None:
            picture = await asyncio.to_thread(_preview, event.preview)
            if picture and self.picture is None and not self.is_deleted:
                self._image.props["src"] = picture
                self._image.classes(remove="haze")

    def finish(self, picture: Picture) -> None:
        """Show what is kept, which can be opened from now on."""
        self.picture, self.share = picture, 1.0
        self._bar.set_visibility(False)
        self._image.props["src"], self._image.props["alt"] = picture.url, self._prompt
        self._image.classes(remove="haze")
        self._frame.props(remove="disabled")
        self._frame.props["aria-label"] = f"Open: {self._prompt[:200]}"

    def give_up(self) -> None:
        """It will not be finished."""
        if self.picture is None:
            self._bar.set_visibility(False)
            self.classes("gone")

    def _open(self) -> None:
        if self.picture is not None:
            self._opened(self.picture)


def _share(event: Event) -> float:
    """How much of the work is done: making a picture larger is the smaller part of it."""
    begun, part = (0.0, MAIN) if event.stage == "denoise" else (MAIN, 1 - MAIN)
    return begun + part * event.step / event.steps


def _preview(look: Callable[[], Image.Image]) -> str:
    """A picture as an address that holds it all; empty where it could not be computed any more."""
    try:
        picture = look()
    except Exception:  # the picture may have been finished or cancelled meanwhile
        return ""
    return address(picture, PREVIEW)
