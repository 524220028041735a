"""What begins and ends with the application: one failure ends neither the tidying nor the stop of the engine."""

import io
import json
import threading
import time

from starlette.testclient import TestClient

from light_server import light_app
from sfumato.server import app as application
from sfumato.server.logs import log_to


def test_tidying_goes_on_after_a_failure_which_is_logged(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(application, "BETWEEN_TIDYINGS", 0.02)
    prune, failed = engine.store.prune, []

    def failing_once(*limits):
        if not failed:
            failed.append(limits)
            raise FileNotFoundError("a file that somebody removed")
        return prune(*limits)

    monkeypatch.setattr(engine.store, "prune", failing_once)
    written = io.StringIO()
    log_to(written)
    with TestClient(light_app(engine, tmp_path, keep_gb=0.0), "http://localhost") as client:
        id, until = client.post("/jobs", json={"prompt": "a cat"}).json()["id"], time.monotonic() + 60
        while client.get(f"/jobs/{id}").status_code != 404:
            assert time.monotonic() < until
            time.sleep(0.02)
    (defect,) = [line for line in map(json.loads, written.getvalue().splitlines()) if line["event"] == "defect"]
    assert defect["error"] == "FileNotFoundError"


def test_the_engine_is_stopped_whatever_failed_before(engine, tmp_path, monkeypatch):
    async def broken(_):
        raise OSError

    stopped = []
    monkeypatch.setattr(application, "_tidy", broken)
    monkeypatch.setattr(engine, "stop", lambda: stopped.append(True))
    with TestClient(light_app(engine, tmp_path), "http://localhost") as client:
        assert client.get("/health").status_code == client.head("/health").status_code == 200
    assert stopped == [True]


def test_a_server_that_stops_does_not_wait_for_a_model_that_is_loading(engine, tmp_path, monkeypatch):
    gate, began = threading.Event(), time.monotonic()
    monkeypatch.setattr(engine.models, "pipeline", lambda name: gate.wait(10))
    try:
        with TestClient(light_app(engine, tmp_path), "http://localhost") as client:
            assert client.get("/ready").status_code == 503
        assert time.monotonic() - began < 8
    finally:
        gate.set()
