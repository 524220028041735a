"""A studio on light doubles, for a simulated person."""

import asyncio
import re

import pytest

pytest.importorskip("nicegui")

from nicegui import Client
from nicegui.testing.user_simulation import user_simulation

from light_studio import LightEngine, LightKeys
from sfumato.server.store import Store
from sfumato.server.studio.attach import furnish
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
