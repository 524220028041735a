"""A light server for each test, as an application or behind a socket, and a real browser where there is one."""

import shutil

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


FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium():
    """Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()
