"""A light server for each test: as an application, or behind a socket for clients that are programs of their own."""

import pytest
from starlette.testclient import TestClient

from light_server import LightEngine, light_app, listening
from sfumato.server.store import Store


@pytest.fixture
def engine(tmp_path):
    with Store(tmp_path / "store") as store:
        made = LightEngine(store)
        yield made
        made.stop()


@pytest.fixture
def app(engine, tmp_path):
    return light_app(engine, tmp_path, port=0)


@pytest.fixture
def client(app):
    with TestClient(app, "http://127.0.0.1:7860") as client:
        yield client


@pytest.fixture
def address(app):
    """Where the application listens."""
    with listening(app) as port:
        yield f"http://127.0.0.1:{port}"
