"""A studio on light doubles: for a simulated person, and behind a socket for a real browser."""

import asyncio
import re
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

pytest.importorskip("nicegui")

import uvicorn
from fastapi import FastAPI
from nicegui import Client
from nicegui.testing.general import nicegui_reset_globals
from nicegui.testing.user_simulation import user_simulation

from light_studio import LightEngine, LightKeys
from sfumato.server.store import Store
from sfumato.server.studio.attach import attach, furnish
from sfumato.server.studio.studio import Studio


@pytest.fixture
def engine(tmp_path):
    with Store(tmp_path / "store") as store:
        made = LightEngine(store)
        yield made
        made.end()


@pytest.fixture
def stroll(engine, tmp_path):
    """Runs what a simulated person does: `stroll(async function of the person)`; `kept` is what the tab remembers."""

    def run(walk, keys=None, kept=None):
        async def whole():
            async with user_simulation() as person:
                furnish(Studio(engine, tmp_path / "studio", LightKeys(keys or {})))
                person.javascript_rules[re.compile(r".*sfumato\.kept")] = lambda _: kept or {}
                try:
                    await walk(person)
                finally:
                    Client.page_routes.clear()  # or NiceGUI would unload the modules that define them

        asyncio.run(whole())

    return run


@contextmanager
def served(engine, folder):
    """The address of the studio behind a socket."""
    with nicegui_reset_globals():
        app = FastAPI()
        attach(app, engine, SimpleNamespace(store=folder, keys=folder / "keys.json"))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)
            Client.page_routes.clear()
