"""What all pages share: long work has a thread of its own, one after the other, and requests are taken one by one."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from light_studio import LightKeys
from sfumato.errors import QueueFull
from sfumato.pipelines.request import Request
from sfumato.server.studio.studio import Studio


def test_long_work_is_done_one_after_the_other_and_nothing_else_waits_for_it(engine, tmp_path):
    studio, go, done = Studio(engine, tmp_path, LightKeys({})), threading.Event(), []

    def long(number):
        done.append(f"{number} begun")
        go.wait(60)
        done.append(f"{number} done")

    async def whole():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        work = [asyncio.create_task(studio.in_turn(lambda number=number: long(number))) for number in range(2)]
        try:
            await asyncio.sleep(0)
            await asyncio.wait_for(asyncio.to_thread(done.append, "something else"), 5)
        finally:
            go.set()
        await asyncio.gather(*work)

    asyncio.run(whole())
    assert [one for one in done if one != "something else"] == ["0 begun", "0 done", "1 begun", "1 done"]
    assert done.index("something else") < done.index("0 done")


def test_when_the_server_ends_long_work_that_was_not_begun_is_not_waited_for(engine, tmp_path):
    studio, begun, go = Studio(engine, tmp_path, LightKeys({})), threading.Event(), threading.Event()

    async def whole():
        first = asyncio.create_task(studio.in_turn(lambda: begun.set() or go.wait(60)))
        second = asyncio.create_task(studio.in_turn(lambda: "never"))
        await asyncio.to_thread(begun.wait, 60)
        studio.close()
        go.set()
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = asyncio.run(whole())
    assert first is True
    assert isinstance(second, asyncio.CancelledError)


def test_what_was_accepted_before_the_queue_was_full_is_told_with_why_the_rest_was_not(engine, tmp_path, monkeypatch):
    studio, submit = Studio(engine, tmp_path, LightKeys({})), engine.submit

    def until_full(*asked):
        if len(engine.submitted) == 2:
            raise QueueFull("Come again in 7 s.", 7)
        return submit(*asked)

    monkeypatch.setattr(engine, "submit", until_full)
    asked = [(Request("a cat", seed), 1) for seed in range(4)]
    jobs, trouble = studio.submit("local", "light", asked)
    assert [job.request["seed"] for job in jobs] == [0, 1]
    assert trouble == "2 of 4 are being made. Come again in 7 s."
    with pytest.raises(QueueFull):
        studio.submit("local", "light", asked)
