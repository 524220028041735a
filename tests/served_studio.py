"""The studio behind a socket, for a real browser."""

import threading
import time
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from nicegui import Client
from nicegui.testing.general import nicegui_reset_globals

from sfumato.server.settings import Settings
from sfumato.server.studio.attach import attach


@contextmanager
def served(engine, folder, **settings):
    """The address of the studio behind a socket; `settings` are other fields of the server's."""
    with nicegui_reset_globals():
        app = FastAPI()
        attach(app, engine, Settings(folder, **settings))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)
            Client.page_routes.clear()  # or NiceGUI would unload the modules that define them
