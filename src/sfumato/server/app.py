"""The server as an application: routes, what stands around them, and what begins and ends with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from sfumato import __version__
from sfumato.errors import RecipeError, SfumatoError
from sfumato.server import docs_page, health, jobs_api
from sfumato.server.a1111 import about, pictures
from sfumato.server.bodies import Bodies
from sfumato.server.description import describe
from sfumato.server.doors import Doors
from sfumato.server.headers import SecurityHeaders
from sfumato.server.hosts import Hosts
from sfumato.server.keys import Keys
from sfumato.server.links import Links
from sfumato.server.logs import Log
from sfumato.server.metrics import Metrics
from sfumato.server.openai import completions, images, models
from sfumato.server.rates import Rates
from sfumato.server.serving import Serving, refused
from sfumato.server.settings import Settings
from sfumato.server.shapes import JobAsked
from sfumato.server.watching import Watching, route_of

if TYPE_CHECKING:
    from sfumato.server.engine import Engine

ROUTERS = (
    images.router,
    models.router,
    completions.router,
    jobs_api.router,
    pictures.router,
    about.router,
    health.router,
    docs_page.router,
)
BETWEEN_TIDYINGS = 600.0  # seconds
ABOUT = "Pictures from words: by OpenAI's interface, by that of A1111, and by our own, /jobs."


def create_app(engine: Engine, settings: Settings) -> FastAPI:
    """The application.

    Args:
        engine: makes the pictures; it is started and stopped with the application.
        settings: what the server was told.

    Raises:
        RecipeError: the server can be reached from other machines and has no keys, or their file is damaged.
    """
    keys = Keys(settings.keys)
    if settings.is_for_others and not keys.all():
        raise RecipeError(
            f"As {settings.names[0] if settings.names else settings.host} other machines could use this server, "
            "and it has no keys. Make one with: sfumato serve --new-key NAME; or listen at 127.0.0.1, without --name."
        )
    serving = Serving(
        engine,
        settings,
        keys,
        Rates(engine.limits.a_minute),
        Links(settings.link_life),
        Log(settings.log_prompts),
        Metrics(engine.busy),
    )
    app = FastAPI(
        title="sfumato",
        version=__version__,
        description=ABOUT,
        docs_url=None,  # FastAPI's own page asks other machines for its scripts
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.serving = serving
    for router in ROUTERS:
        app.include_router(router)
    describe(app, JobAsked)
    for error in (RequestValidationError, ValidationError, HTTPException, SfumatoError):
        app.add_exception_handler(error, _answer)
    # the last that is added is the first that a request meets
    app.add_middleware(Bodies, most=engine.limits.body, patience=settings.patience)
    app.add_middleware(Doors, serving=serving)
    app.add_middleware(Hosts, settings=settings)
    app.add_middleware(Watching, serving=serving)
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    serving: Serving = app.state.serving
    serving.engine.start()
    threading.Thread(target=_load, args=(serving,), name="loading", daemon=True).start()
    tidying = asyncio.create_task(_tidy(serving))
    try:
        yield
    finally:
        serving.leaving.set()
        tidying.cancel()
        try:
            await asyncio.gather(tidying, return_exceptions=True)
        finally:
            await asyncio.to_thread(serving.engine.stop)


def _load(serving: Serving) -> None:
    """Load the first model before somebody waits for it: in a thread that no server which stops waits for."""
    models = serving.engine.models
    try:
        models.pipeline(models.default)
        serving.ready.set()
        serving.log.write("ready", model=models.default)
    except Exception as error:
        serving.log.defect(error, model=models.default)


async def _tidy(serving: Serving) -> None:
    """Forget old jobs now and then, where the settings say so; what fails is tried again the next time."""
    settings = serving.settings
    days, most = settings.keep_days, settings.keep_gb
    limits = (None if days is None else days * 86_400, None if most is None else round(most * 1e9))
    while limits != (None, None):
        try:
            if forgotten := await asyncio.to_thread(serving.engine.store.prune, *limits):
                serving.log.write("forgot", jobs=forgotten)
        except Exception as error:
            serving.log.defect(error)
        await asyncio.sleep(BETWEEN_TIDYINGS)


async def _answer(http: Request, error: Exception) -> JSONResponse:
    refusal = refused(http.app.state.serving, error, route=route_of(http.scope))
    return refusal.answer(http.url.path)
