"""An application behind a socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from sfumato.errors import RecipeError
from sfumato.server.connections import Connection
from sfumato.server.settings import Settings

PATIENCE = 30  # seconds that a stopping server leaves to what runs
AT_ONCE = 512  # connections
LARGEST_HEAD = 2**16  # bytes of a request's headers


def tell(address: str) -> None:
    """Print where a server listens."""
    print(address, flush=True)


def listen(app: FastAPI, settings: Settings, ready: Callable[[str], None] = tell) -> None:
    """Serve an application until Ctrl-C or a signal to end; what runs is finished, a second Ctrl-C cuts it off.

    Args:
        app: the application.
        settings: where it listens.
        ready: called with the address as soon as it does.

    Raises RecipeError when the address is taken, or the application cannot begin.
    """
    server = Server(configured(app, settings), ready)
    try:
        server.run()
    except SystemExit:
        if server.lifespan.should_exit:
            raise RecipeError("The server could not begin; its log says why.") from None
        raise RecipeError(f"Nothing can listen at {settings.host}:{settings.port}; name another --port.") from None


def configured(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves it: with bounds, and without a log of addresses, which hold what people typed."""
    return uvicorn.Config(
        app,
        settings.host,
        settings.port,
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=AT_ONCE,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=PATIENCE,
    )


class Server(uvicorn.Server):
    """One that tells where it listens, and the application at once that it is to stop."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] = tell) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready(self.address)

    @property
    def address(self) -> str:
        """Where it listens, once it does."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; at the second time at once. Unlike uvicorn's own, nothing is left to raise the signal again after."""
        self.config.app.state.serving.leaving.set()  # type: ignore[union-attr]
        self.force_exit = self.should_exit
        self.should_exit = True
