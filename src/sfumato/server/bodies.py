"""What comes in and goes out is bounded: how large, how slow, and how much of it at once."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sfumato.server.errors import Refusal

AT_ONCE = 4  # of the largest bodies, in memory
LATER = {"Retry-After": "2"}
MOST_COMMAS = 200_000  # of a body that is no form: small values of JSON take many times their bytes
PIECE = 2**16  # bytes of an answer that a client has `patience` for


class _Stopped(Exception):
    """Nothing more of a body is read."""


class Bodies:
    """ASGI middleware that stops bodies which are too large, or whose senders or readers are too slow.

    Args:
        app: what is inside.
        most: bytes of a body, counted as they come, whatever its header says; of its commas, by which values of JSON
            are told, `MOST_COMMAS`.
        patience: seconds for the next piece of a body, and for a client to take the next piece of an answer.
    """

    def __init__(self, app: ASGIApp, most: int, patience: float) -> None:
        self.app, self.most, self.patience = app, most, patience
        self._there = 0  # bytes of all bodies that are being worked on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_form = headers.get("content-type", "").lower().startswith("multipart/")
        body = _Body(self, receive, send, None if is_form else MOST_COMMAS)
        length = headers.get("content-length", "")
        if length.isdecimal() and len(length) < 20 and int(length) > self.most:
            body.refusal = self.too_large()
        try:
            if body.refusal is None:
                await self.app(scope, body.receive, body.send)
        except Exception:
            if body.refusal is None and not body.left:
                raise
        finally:
            self._there -= body.size
        if body.refusal is not None and not body.begun:
            await body.refusal.answer(scope["path"])(scope, receive, send)

    def too_large(self) -> Refusal:
        """What a client hears whose body is too large."""
        return Refusal(413, f"A request has at most {self.most:,} bytes here.", code="body_too_large")

    def take(self, size: int) -> bool:
        """Whether there is room for more bytes; if so they count until their request is answered."""
        if self._there + size > AT_ONCE * self.most:
            return False
        self._there += size
        return True


class _Body:
    """The body of one request, and the answer to it."""

    def __init__(self, bodies: Bodies, receive: Receive, send: Send, commas: int | None) -> None:
        self.refusal: Refusal | None = None
        self.begun, self.left, self.size, self._whole = False, False, 0, False
        self._bodies, self._receive, self._send, self._commas = bodies, receive, send, commas

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._bodies.patience):
                message = await self._receive()
        except TimeoutError:
            raise self._stop(Refusal(408, "The body came too slowly.", code="timeout")) from None
        piece = len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self.size + piece > self._bodies.most:
            raise self._stop(self._bodies.too_large())
        if not self._bodies.take(piece):
            raise self._stop(Refusal(503, "Too many large requests at once.", code="busy", headers=LATER))
        self.size += piece
        if self._commas is not None:
            self._commas -= message.get("body", b"").count(b",")
            if self._commas < 0:
                raise self._stop(Refusal(413, "The body holds too many values.", code="body_too_large"))
        return message

    async def send(self, message: Message) -> None:
        if self.refusal is not None and not self.begun:
            return  # what is inside says of a body that broke off is not the reason
        self.begun = True
        content: bytes = message.get("body", b"")
        for start in range(0, max(1, len(content)), PIECE):
            last = start + PIECE >= len(content)
            piece = {"body": content[start : start + PIECE], "more_body": message.get("more_body", False) or not last}
            await self._patiently(message if len(content) <= PIECE else {**message, **piece})

    async def _patiently(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._bodies.patience):
                await self._send(message)
        except TimeoutError:
            self.left = True
            raise _Stopped("the client does not read") from None

    def _stop(self, refusal: Refusal) -> _Stopped:
        self.refusal = self.refusal or refusal
        return _Stopped(refusal.message)
