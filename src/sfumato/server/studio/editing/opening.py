"""How a picture comes to the page Edit: from the person's machine, from what was made, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.events import UploadEventArguments
from PIL import Image

from sfumato.data.pictures import open_picture
from sfumato.errors import PromptError, SfumatoError
from sfumato.server import given
from sfumato.server.studio.controls import button
from sfumato.server.studio.pictures import Picture, picture_of
from sfumato.server.studio.studio import Studio

LARGEST_FILE = 64 * 2**20  # bytes
OFFERED = 18  # pictures of the history

Lay = Callable[[Image.Image | None], Awaitable[None]]


class Opening(ui.element):
    """The ways to a picture.

    Args:
        studio: where pictures are kept.
        owner: whose they are.
        lay: called with a picture, or None for an empty sheet.
        complain: called with what went wrong.
    """

    def __init__(self, studio: Studio, owner: str, lay: Lay, complain: Callable[[str], None]) -> None:
        super().__init__("section")
        self.classes("opening").props('aria-label="Where the picture comes from"')
        self._studio, self._owner, self._lay, self._complain = studio, owner, lay, complain
        with self:
            upload = ui.upload(on_upload=self._uploaded, auto_upload=True, max_file_size=LARGEST_FILE)
            upload.on("rejected", lambda: complain(f"That file is larger than {LARGEST_FILE >> 20} MB."))
            upload.on("finish", js_handler=f"() => runMethod({upload.id}, 'reset', [])")  # or a second time is refused
            upload.props("accept=image/*").classes("not-shown")
            with ui.element("div").classes("row"):
                press = button("Open a picture", lambda: None)
                press.on("click", js_handler=f"() => runMethod({upload.id}, 'pickFiles', [])")
                button("From what was made", self._offer)
                button("An empty sheet", lambda: self._lay(None))
            self._offered = ui.element("div").classes("grid").props("data-arrows role=group")
            self._offered.props["aria-label"] = "Pictures made here; the arrow keys go from one to the next"
            self._offered.set_visibility(False)

    async def open(self, picture: Picture) -> None:
        """Lay a picture of the history on the table."""
        self._offered.set_visibility(False)
        try:
            await self._lay(await asyncio.to_thread(open_picture, picture.path))
        except SfumatoError as error:
            self._complain(f"The picture cannot be opened: {error}")

    async def _uploaded(self, event: UploadEventArguments) -> None:
        try:
            if event.file.size() > LARGEST_FILE:
                raise PromptError(f"{event.file.name} is larger than {LARGEST_FILE >> 20} MB.")
            content = await event.file.read()
            await self._lay(await asyncio.to_thread(given.picture_of, content, event.file.name))
        except SfumatoError as error:
            self._complain(str(error))

    async def _offer(self) -> None:
        """Show the newest pictures, or put them away again."""
        if self._offered.visible:
            self._offered.set_visibility(False)
            return
        pictures = await asyncio.to_thread(self._newest)
        self._offered.clear()
        with self._offered:
            for picture in pictures:
                with ui.element("button").props("type=button").classes("thumb") as thumb:
                    image = ui.element("img")
                    image.props["src"], image.props["alt"] = picture.small_url, picture.prompt
                thumb.on("click", lambda _, picture=picture: self.open(picture))
            if not pictures:
                ui.label("Nothing was made yet.").classes("soft")
        self._offered.set_visibility(True)

    def _newest(self) -> list[Picture]:
        store = self._studio.store
        jobs = store.jobs(owner=self._owner, limit=OFFERED)
        found = (picture_of(self._studio, self._owner, job, number) for job in jobs for number in store.kept(job.id))
        return [picture for picture in found if picture][:OFFERED]
