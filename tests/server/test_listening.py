"""A server that cannot begin says why: for want of its address, or for a reason of its own."""

import socket

import pytest

from light_server import light_app
from sfumato.errors import RecipeError
from sfumato.server.listening import listen


def test_an_address_that_is_taken_is_told(engine, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        app = light_app(engine, tmp_path, port=other.getsockname()[1])
        with pytest.raises(RecipeError, match="name another --port"):
            listen(app, app.state.serving.settings)


def test_an_application_that_cannot_begin_is_not_told_as_an_address_that_is_taken(app, engine, monkeypatch):
    def broken():
        raise OSError("the store is gone")

    monkeypatch.setattr(engine, "start", broken)
    with pytest.raises(RecipeError, match="could not begin"):
        listen(app, app.state.serving.settings)
