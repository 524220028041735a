"""What all pages share: long work has a thread of its own, one after the other, and requests are taken one by one."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from light_studio import LightKeys
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
