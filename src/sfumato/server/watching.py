"""Around every request: how long it took and what became of it, and no error that leaves without an answer."""

from __future__ import annotations

import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sfumato.server.errors import refusal_of
from sfumato.server.serving import Serving

METHODS = ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS")
QUIET = ("/health", "/ready", "/metrics")  # asked for by machines, every few seconds


class Watching:
    """ASGI middleware that logs and counts requests, and answers for defects."""

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self.app, self.serving = app, serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = 0, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:
            self.serving.log.defect(error, route=route_of(scope))
            if not status:
                await refusal_of(error).answer(scope["path"])(scope, receive, noting)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.serving.metrics.request(method, route, status, seconds)
        if route not in QUIET:
            owner = scope.get("state", {}).get("owner")
            told = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4), "owner": owner}
            self.serving.log.write("request", **told)


def route_of(scope: Scope) -> str:
    """The route that a request took, by its pattern: of few kinds, and without what was typed into an address."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "none"
