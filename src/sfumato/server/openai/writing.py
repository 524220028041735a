"""Texts that a language model writes beside the pictures, one call at a time, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar

from sfumato.server.errors import too_many

AT_ONCE = 16  # calls that wait for their turn
EACH_OWNER = 8  # of them by one owner

Made = TypeVar("Made")
_END = object()


class Desk:
    """The place at which one text after the other is written."""

    def __init__(self) -> None:
        self._waiting = Counter[str]()
        self._thread = ThreadPoolExecutor(1, "writer")

    def each(self, owner: str, work: Callable[[], Iterator[Made]]) -> AsyncGenerator[Made, None]:
        """What an iterator gives, each as soon as it is there; leaving ends it after its next piece.

        Whoever reads slowly finds what was written meanwhile, and keeps nobody from writing.
        Raises Refusal 429, at once, when too many wait, of all owners or of this one.
        """
        self._require_room(owner)
        return self._each(owner, work)

    async def _each(self, owner: str, work: Callable[[], Iterator[Made]]) -> AsyncGenerator[Made, None]:
        self._require_room(owner)  # others may have come since
        self._waiting[owner] += 1
        try:
            async with aclosing(_threaded(work, self._thread)) as pieces:
                async for made in pieces:
                    yield made
        finally:
            self._waiting[owner] -= 1

    def _require_room(self, owner: str) -> None:
        if self._waiting.total() >= AT_ONCE or self._waiting[owner] >= EACH_OWNER:
            raise too_many("Too many texts are being written.", 5)


async def _threaded(work: Callable[[], Iterator[Made]], pool: Executor) -> AsyncGenerator[Made, None]:
    loop, leave = asyncio.get_running_loop(), threading.Event()
    pieces: asyncio.Queue[object] = asyncio.Queue()

    def run() -> None:
        said: object = _END
        try:
            for made in work():
                loop.call_soon_threadsafe(pieces.put_nowait, made)
                if leave.is_set():
                    return
        except Exception as error:
            said = error
        finally:
            loop.call_soon_threadsafe(pieces.put_nowait, said)

    writing = pool.submit(run)
    try:
        while (made := await pieces.get()) is not _END:
            if isinstance(made, Exception):
                raise made
            yield made  # type: ignore[misc]
    finally:
        leave.set()
        if not writing.cancel():
            await asyncio.shield(asyncio.wrap_future(writing))
