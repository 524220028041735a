"""Texts that a language model writes beside the pictures, one call at a time, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TypeVar

from sfumato.server.errors import too_many

AT_ONCE = 16  # calls that wait for their turn

Made = TypeVar("Made")
_END = object()


class Desk:
    """The place at which one text after the other is written."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def each(self, work: Callable[[], Iterator[Made]]) -> AsyncGenerator[Made, None]:
        """What an iterator gives, each as soon as it is there; leaving ends it after its next piece.

        Raises Refusal 429 when too many wait.
        """
        if self._waiting >= AT_ONCE:
            raise too_many("Too many texts are being written.", 5)
        self._waiting += 1
        try:
            async with self._turn:
                async for made in _threaded(work):
                    yield made
        finally:
            self._waiting -= 1


async def _threaded(work: Callable[[], Iterator[Made]]) -> AsyncGenerator[Made, None]:
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

    thread = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        while (made := await pieces.get()) is not _END:
            if isinstance(made, Exception):
                raise made
            yield made  # type: ignore[misc]
    finally:
        leave.set()
        await asyncio.shield(thread)
