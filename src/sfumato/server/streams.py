"""Server-sent events: what happens, as it happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

BEAT = 10.0  # seconds after which a silent stream says that it lives


class EventStream(StreamingResponse):
    """An answer of server-sent events; what makes them is ended when the client leaves.

    Args:
        events: as `event` writes them.
        left: called at the end, whichever way it came: also when the client left before the first event.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str, None], left: Callable[[], Awaitable[None]] | None = None) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._events, self._beating, self._left = events, _beating(events), left
        super().__init__(self._beating, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._beating.aclose()
                await self._events.aclose()
                if self._left is not None:
                    await self._left()


def event(data: Mapping[str, Any] | str, name: str = "") -> str:
    """An event as it stands in a stream: one line of JSON."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n"


async def _beating(events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The same, with a comment where nothing happens for a while: a client that is gone is found out by it."""
    following = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=BEAT)
            if not done:
                yield ": still here\n\n"
                continue
            told = following.result()
            if told is None:
                return
            yield told
            following = asyncio.ensure_future(anext(events, None))
    finally:
        following.cancel()
        with anyio.CancelScope(shield=True), suppress(asyncio.CancelledError, Exception):
            await following
