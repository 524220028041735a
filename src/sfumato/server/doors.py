"""Who has no key is turned away at the door: before anything is read that was sent."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sfumato.errors import SfumatoError
from sfumato.server.serving import Serving, owner_by, refused

GUARDED = ("/v1/", "/jobs", "/sdapi/", "/metrics")
"""How the paths begin that need a key. Their routes ask once more; pages have doors of their own."""


class Doors:
    """ASGI middleware that asks for a key, where routes would ask after they have read the body."""

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self.app, self.serving = app, serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(GUARDED):
            try:
                owner_by(self.serving, Headers(scope=scope).get("authorization", ""))
            except SfumatoError as error:
                await refused(self.serving, error).answer(scope["path"])(scope, receive, send)
                return
        await self.app(scope, receive, send)
