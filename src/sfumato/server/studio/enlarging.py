"""A finished picture made larger, by what its model has for that."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from nicegui import ui
from PIL import Image

from sfumato.errors import PromptError, SfumatoError
from sfumato.server.studio.controls import button
from sfumato.server.studio.pictures import Picture
from sfumato.server.studio.studio import Studio

FACTOR = 4
LARGEST = 4096  # pixels of the longer side of what is made


class Enlarging:
    """A button that makes a picture larger, and a place for the link to what comes of it.

    Args:
        studio: has the model, and the tray that the larger picture is laid on.
        picture: that is made larger.
        image: the element that shows it, and then the larger one.
    """

    def __init__(self, studio: Studio, picture: Picture, image: ui.element) -> None:
        self._studio, self._picture, self._image = studio, picture, image
        self._button = button("Upscale", self._enlarge, "quiet")
        self._place = ui.element("span")
        self._told = ui.label().props("role=status").classes("soft small")

    async def _enlarge(self) -> None:
        self._button.disable()
        self._told.set_text("Making it larger; that takes a while.")
        try:
            made = await self._studio.in_turn(lambda: None if self._image.is_deleted else self._larger())
        except SfumatoError as error:
            self._told.set_text(str(error))
            self._button.enable()
            return
        if made is None or self._image.is_deleted:  # nobody waits for it any more
            return
        content, told = made
        url = self._studio.tray.put(self._picture.job.owner, content, "image/png")
        self._image.props["src"] = url
        self._told.set_text(told)
        with self._place:
            link = ui.link("Download the larger one", url)
            link.props["download"] = f"sfumato-{self._picture.job.id[:8]}-{self._picture.number}-large.png"

    def _larger(self) -> tuple[bytes, str]:
        """The PNG file with its recipe, and what is to be said of it."""
        from sfumato.pipelines.given import Given
        from sfumato.pipelines.keepsake import save_picture
        from sfumato.pipelines.upscaling import Upscaling, upscaled

        pipeline = self._studio.models.pipeline(self._picture.job.model)
        request = self._picture.request
        with Image.open(self._picture.path) as picture:
            factor = self._factor(picture.size)
        asked = Upscaling(Given.of(self._picture.path), factor, request.prompt, request.seed)
        large, recipe = upscaled(pipeline, asked)
        by = recipe["upscaled"]["by"]
        plain = ", which adds no detail: this model has nothing to enlarge with" if by == "lanczos" else ""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "large.png"
            save_picture(large, file, recipe, self._studio.store.marks_of(self._picture.job))
            return file.read_bytes(), f"{large.width} x {large.height} pixels, by {by}{plain}."

    def _factor(self, size: tuple[int, int]) -> float:
        """How many times larger it becomes, within what is made here; PromptError where it is as large already."""
        room = math.sqrt(self._studio.engine.limits.pixels / math.prod(size))
        factor = min(FACTOR, LARGEST / max(size), room)
        if factor <= 1:
            raise PromptError(f"{size[0]} x {size[1]} pixels are as many as are made here.")
        return factor
