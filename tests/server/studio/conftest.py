"""A studio on light doubles, for a simulated person; and a training that only pretends."""

import asyncio
import re
import sys
import textwrap

import pytest

pytest.importorskip("nicegui")

from nicegui import Client
from nicegui.testing.user_simulation import user_simulation

from light_studio import LightEngine, LightKeys
from sfumato.server.store import Store
from sfumato.server.studio.attach import furnish
from sfumato.server.studio.studio import Studio

PRETENDED = """
    import json, signal, sys, time
    from pathlib import Path

    out = next(Path(word[6:]) for word in sys.argv if word.startswith("--out="))
    data = sys.argv[-1]
    if "--estimate" in sys.argv:
        if data == "slow":
            (out.parent / "began").touch()
            time.sleep(60)
        if data == "bad":
            sys.exit("There is nothing in it.")
        stages = [{"name": "clip", "size": "tiny", "steps": 150, "preparing": 0.5, "seconds": 75.0}]
        told = {"samples": 40, "set_aside": 2, "stages": stages, "seconds": 80.0, "memory": 2**30, "device_memory": 0,
                "free_memory": 2**31, "free_disk": 2**33}
        print(json.dumps(told))
        sys.exit()
    run = out / "run"
    stopped = []
    signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
    print("It begins.", flush=True)
    (run / "recipe.json").write_text("{}")
    if data == "bad":
        sys.exit("There is nothing in it.")
    while not stopped and not (run / "enough").exists():
        time.sleep(0.02)
    if stopped:
        print("Stopped.")
        sys.exit(130)
    (out / "model_index.json").write_text("{}")
"""
"""What stands in the place of the command `sfumato`: it begins, tells of steps, and ends when it is told to."""


@pytest.fixture
def engine(tmp_path):
    with Store(tmp_path / "store") as store:
        made = LightEngine(store)
        yield made
        made.end()


@pytest.fixture
def stroll(engine, tmp_path):
    """Runs what a simulated person does: `stroll(async function of the person)`; `kept` is what the tab remembers."""

    def run(walk, keys=None, kept=None, **settings):
        async def whole():
            failed = None  # raised once all is put away: an exception through the simulation would wait for ever
            async with user_simulation() as person:
                rooms = {"roots": (tmp_path / "home",), "trained": tmp_path / "models"}
                furnish(Studio(engine, tmp_path / "studio", LightKeys(keys), **rooms, **settings))
                person.javascript_rules[re.compile(r".*sfumato\.kept")] = lambda _: kept or {}
                try:
                    await walk(person)
                except BaseException as error:
                    failed = error
                Client.page_routes.clear()  # or NiceGUI would unload the modules that define them
            if failed:
                raise failed

        asyncio.run(whole())

    return run


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """In the place of the command `sfumato`."""
    script = tmp_path / "pretended.py"
    script.write_text(textwrap.dedent(PRETENDED))
    monkeypatch.setattr("sfumato.server.studio.training.asked.COMMAND", (sys.executable, "-S", str(script)))
