"""Who may call at all: no page of somebody else, and no foreign name that was made to lead to this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sfumato.server.errors import Refusal
from sfumato.server.settings import Settings, is_loopback


class Hosts:
    """ASGI middleware that refuses foreign Host and Origin headers, of requests and of websockets.

    A page from elsewhere may let a name of its own lead to 127.0.0.1 (DNS rebinding); the Host header tells. And it
    may send requests whose answers it cannot read, but that do something; the Origin header tells.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or (refusal := self._refused(Headers(scope=scope))) is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await refusal.answer(scope["path"])(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.message})

    def _refused(self, headers: Headers) -> Refusal | None:
        host = headers.get("host", "")
        name = _name(f"//{host}")
        if self.settings.is_loopback and not is_loopback(name) and name not in self.settings.names:
            return Refusal(403, "This server is not known by that name; call it 127.0.0.1.", code="unknown_host")
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin, host):
            return Refusal(403, "Pages of other servers may not call this one.", code="foreign_origin")
        return None

    def _is_own(self, origin: str, host: str) -> bool:
        return _place(origin) == host.lower() or _name(origin) in self.settings.names


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _place(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return ""
