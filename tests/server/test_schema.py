"""Requests made from our own description, valid and not: each is answered as the description says, none breaks it."""

import resource

import pytest

from light_server import LightEngine, light_app, listening
from sfumato.server.limits import Limits
from sfumato.server.store import Store
from shaking import shake


@pytest.fixture
def shaken(tmp_path):
    """A server of small pictures."""
    limits = Limits(pixels=256 * 256, steps=20, count=4, body=2**20)
    with Store(tmp_path / "store") as store:
        app = light_app(LightEngine(store, limits), tmp_path, port=0)
        with listening(app) as port:
            yield app, f"http://127.0.0.1:{port}"


def test_whatever_is_asked_is_answered_as_described(shaken):
    sent, refused = shake(*shaken, examples=4)
    assert sent > 200
    assert refused > 50


@pytest.mark.slow
def test_ten_thousand_malformed_requests_take_no_memory(shaken):
    shake(*shaken, examples=10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent, _ = shake(*shaken, examples=150, number=1)
    assert sent >= 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024  # kB; the generator's own too
