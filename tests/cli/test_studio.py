"""`sfumato studio` serves the pages to this machine alone, says where, and opens the browser unless told not to."""

import logging
import threading
from unittest.mock import ANY

import pytest
from nicegui import Client
from nicegui.testing.general import nicegui_reset_globals
from typer.testing import CliRunner

from sfumato.cli.main import app


@pytest.fixture
def started(monkeypatch, tmp_path):
    """What `studio` with some options would serve, and where its browser goes."""
    told, gone = {}, threading.Event()

    def listen(app, settings, ready):
        told.update(app=app, settings=settings)
        ready(f"http://{settings.host}:{settings.port}")

    monkeypatch.setattr("sfumato.server.listening.listen", listen)
    monkeypatch.setattr("sfumato.server.logs.log_to", lambda *where: told.update(log=where))
    monkeypatch.setattr("webbrowser.open", lambda address: (told.update(opened=address), gone.set()))

    def run(*options):
        with nicegui_reset_globals():
            made = CliRunner().invoke(app, ["studio", "--store", str(tmp_path), *options])
            Client.page_routes.clear()
        if "--no-browser" not in options:
            assert gone.wait(10)
        return made, told

    return run


def test_the_studio_opens_in_the_browser_of_this_machine(started):
    made, told = started("--model", "digits", "--port", "7871")
    assert made.exit_code == 0, made.output
    assert "The studio is at http://127.0.0.1:7871/" in made.stdout
    assert told["opened"] == "http://127.0.0.1:7871/"
    assert told["settings"].is_loopback
    assert told["log"] == (ANY, logging.WARNING)
    assert told["app"].state.serving.engine.models.names() == ["digits"]


def test_without_a_browser_it_only_says_where_it_is(started):
    made, told = started("--no-browser")
    assert "The studio is at http://127.0.0.1:7860/" in made.stdout
    assert "opened" not in told
    assert told["app"].state.serving.engine.models.default == "scenes"
