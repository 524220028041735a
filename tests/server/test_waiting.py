"""Work goes on while somebody waits for it, and no longer."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from sfumato.server.waiting import Unawaited, awaited


def waited_for(work, leaves=False, wait=60.0, stopping=False):
    """What comes of work for a client that stays or leaves, and whether the work was cut off."""
    seen = []

    async def noted():
        try:
            return await work()
        except asyncio.CancelledError:
            seen.append("cut off")
            raise

    async def receive():
        if not leaves:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    leaving = threading.Event()
    if stopping:
        leaving.set()
    here = SimpleNamespace(settings=SimpleNamespace(wait=wait), leaving=leaving)
    try:
        http = SimpleNamespace(receive=receive)
        return asyncio.run(awaited(noted(), here, http, "The text", "The server stops.")), seen
    except Unawaited as refusal:
        return refusal, seen


async def endless():
    await asyncio.sleep(60)


def test_what_is_done_in_time_is_given():
    async def short():
        return 7

    assert waited_for(short) == (7, [])


def test_what_fails_fails_as_it_does():
    async def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        waited_for(broken)


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        ({"leaves": True}, 499, "The client left"),
        ({"leaves": True, "stopping": True}, 503, "The server stops"),
        ({"wait": 0.01}, 504, "The text was not done in 0.01 s"),
    ],
)
def test_what_nobody_waits_for_is_cut_off(how, status, message):
    refusal, seen = waited_for(endless, **how)
    assert (refusal.status, seen) == (status, ["cut off"])
    assert message in str(refusal)
