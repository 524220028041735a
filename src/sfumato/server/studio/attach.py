"""The studio's pages as a part of the server's application."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from nicegui import app as pages
from nicegui import ui
from nicegui.storage import Storage

from sfumato.server.files import writing
from sfumato.server.keys import Keys
from sfumato.server.studio import create, edit, entrance, pictures, train, tray, xray
from sfumato.server.studio.layout import STATIC, STATIC_URL
from sfumato.server.studio.studio import Studio

if TYPE_CHECKING:
    from sfumato.server.engine import Engine
    from sfumato.server.settings import Settings

BROWSERS = "browsers"  # what the studio remembers of each
TAB_IS_KEPT = 24 * 3600  # seconds that what was laid on the table of a tab stays in memory

ROUTES = (entrance, pictures, tray, create, edit, xray, train)
"""Modules with a function `attach(studio)` that defines what they answer."""


def attach(app: FastAPI, engine: Engine, settings: Settings) -> Studio:
    """Add the studio to an application: what it has no route for goes to the pages.

    Args:
        app: whose own routes come first.
        engine: makes the pictures.
        settings: what the server was told; keys are asked for where there are some.
    """
    studio = Studio(
        engine,
        settings.store / "studio",
        Keys(settings.keys),
        roots=settings.data or (Path.home(), Path.cwd()),
        trains_with_keys=settings.training,
        private=settings.private,
    )
    furnish(studio)
    ui.run_with(
        app,
        title="sfumato",
        language="en-US",
        dark=None,
        tailwind=False,
        storage_secret=_secret(studio.folder),
        show_welcome_message=False,
        reconnect_timeout=30,
    )
    return studio


def furnish(studio: Studio) -> None:
    """Define the pages and what they load, without an application around them."""
    Storage.path = studio.folder / BROWSERS
    Storage.path.mkdir(parents=True, exist_ok=True)
    Storage.max_tab_storage_age = TAB_IS_KEPT
    pages.config.quasar_config["loadingBar"]["skipHijack"] = True  # pages tell themselves what goes on, in words
    pages.add_static_files(STATIC_URL, STATIC, max_cache_age=3600)
    pages.on_shutdown(studio.close)
    for place in ROUTES:
        place.attach(studio)


def _secret(folder: Path) -> str:
    """What cookies are signed with; kept, so that a browser is known again after a restart."""
    file = folder / "secret"
    with writing(file):
        file.touch(mode=0o600)
        told = file.read_text()
        if not told:  # also where the disk was full
            told = secrets.token_urlsafe(32)
            file.write_text(told)
    return told
