"""An application behind a socket."""

from __future__ import annotations

from types import FrameType

import uvicorn
from fastapi import FastAPI

from sfumato.errors import RecipeError
from sfumato.server.settings import Settings

PATIENCE = 30  # seconds that a stopping server leaves to what runs
AT_ONCE = 512  # connections
LARGEST_HEAD = 2**16  # bytes of a request's headers


def listen(app: FastAPI, settings: Settings) -> None:
    """Serve an application until Ctrl-C or a signal to end; what runs is finished, a second Ctrl-C cuts it off.

    Raises RecipeError when the address is taken.
    """
    server = Server(configured(app, settings))
    try:
        server.run()
    except SystemExit:
        raise RecipeError(f"Nothing can listen at {settings.host}:{settings.port}; name another --port.") from None


def configured(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves it: with bounds, and without a log of addresses, which hold what people typed."""
    return uvicorn.Config(
        app,
        settings.host,
        settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=AT_ONCE,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=PATIENCE,
    )


class Server(uvicorn.Server):
    """One that tells the application at once that it is to stop."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.serving.leaving.set()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)
