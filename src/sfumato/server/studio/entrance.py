"""The door: where keys are asked for, a person shows theirs here, once for each browser."""

from __future__ import annotations

import asyncio

from nicegui import app, ui

from sfumato.server.studio.controls import button, words
from sfumato.server.studio.layout import dress
from sfumato.server.studio.studio import ENTRANCE, Studio

PAUSE = 1.0  # seconds after a wrong key, before the next is heard


def attach(studio: Studio) -> None:
    """Define the page, which is there for everybody."""

    @ui.page(ENTRANCE, title="Enter · sfumato")
    def enter() -> None:
        dress()
        _door(studio)


def _door(studio: Studio) -> None:
    async def knock() -> None:
        opened.disable()
        trouble.set_text("")
        owner = studio.owner_of((key.value or "").strip())
        if owner is None:
            await asyncio.sleep(PAUSE)
            trouble.set_text("This is no key of this server. Keys are made with: sfumato serve --new-key NAME")
            opened.enable()
            return
        app.storage.user["owner"] = owner
        ui.navigate.to("/")

    with ui.element("div").classes("ask"):
        words("h1", "This studio asks for a key")
        key = ui.input(password=True).props("outlined autofocus autocomplete=current-password")
        key.props["aria-label"] = "Key"
        key.on("keydown.enter", knock)
        trouble = ui.label().props("role=alert").classes("bad trouble")
        opened = button("Enter", knock, "main")
