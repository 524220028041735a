"""What the routes of the server share, and who asks."""

from __future__ import annotations

import asyncio
import base64
import binascii
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from sfumato.errors import StoreFull
from sfumato.server.a1111.board import Board
from sfumato.server.errors import Refusal, refusal_of, too_many
from sfumato.server.keys import LOCAL, Keys
from sfumato.server.links import Links
from sfumato.server.logs import Log
from sfumato.server.metrics import Metrics
from sfumato.server.openai.writing import Desk
from sfumato.server.rates import Rates
from sfumato.server.settings import Settings

if TYPE_CHECKING:
    from sfumato.server.engine import Engine

OPEN = 2  # calls whose pictures are open at a time


@dataclass(frozen=True)
class Serving:
    """What a server works with.

    Attributes:
        engine: makes the pictures; with its models, store and limits.
        settings: what the server was told.
        keys, rates, links: who may ask, how often, and who may look.
        log, metrics: what is written down and counted.
        desk: where texts are written.
        board: what calls of A1111's interface are doing.
        opening: held while the pictures that came with a call are open.
        loading: for each model, held by the call that may have to load it.
        leaving: set when the server is asked to stop: jobs whose clients are cut off then are not cancelled.
        ready: set when the first model is loaded.
    """

    engine: Engine
    settings: Settings
    keys: Keys
    rates: Rates
    links: Links
    log: Log
    metrics: Metrics
    desk: Desk = field(default_factory=Desk)
    board: Board = field(default_factory=Board)
    opening: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OPEN))
    loading: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    leaving: threading.Event = field(default_factory=threading.Event)
    ready: threading.Event = field(default_factory=threading.Event)


async def serving_of(http: Request) -> Serving:
    """What the server of a request works with; it needs no thread, of which there may be none."""
    found: Serving = http.app.state.serving
    return found


def refused(here: Serving, error: BaseException, **values: Any) -> Refusal:
    """An error as a refusal. What is the server's own fault is written down, with these values."""
    refusal = refusal_of(error)
    if refusal.status >= 500 and not isinstance(error, Refusal | StoreFull):
        here.log.defect(error, **values)
    return refusal


Here = Annotated[Serving, Depends(serving_of)]

_bearer = HTTPBearer(auto_error=False, description="A key that `sfumato serve --new-key NAME` made.")


def owner_by(here: Serving, authorization: str) -> str:
    """Who asks: the id of the key, or "local" on this machine while there never was a key.

    The key comes as `Authorization: Bearer KEY`, or as the password of HTTP's basic authentication.
    Raises Refusal 401.
    """
    if not here.settings.is_for_others and not here.keys.asked():
        return LOCAL
    secret = _secret(authorization)
    owner = here.keys.owner(secret) if secret else None
    if owner is None:
        told = "This key is not one of the server's." if secret else "This server asks for a key, as a Bearer token."
        raise Refusal(401, told, None, "invalid_api_key", {"WWW-Authenticate": "Bearer"})
    return owner


def owner_of(http: Request, here: Here, _: Annotated[object, Depends(_bearer)] = None) -> str:
    """Who asks, as `owner_by` says."""
    owner = owner_by(here, http.headers.get("authorization", ""))
    http.state.owner = owner
    return owner


Owner = Annotated[str, Depends(owner_of)]


def asker_of(owner: Owner, here: Here) -> str:
    """Who asks for work: as `owner_of`, and it counts. Raises Refusal 429 when it is too often."""
    wait = here.rates.take(owner) if owner != LOCAL else 0
    if wait:
        raise too_many(f"That is too often for this key; try again in {wait:.0f} s.", wait)
    return owner


Asker = Annotated[str, Depends(asker_of)]


def _secret(header: str) -> str:
    scheme, value = get_authorization_scheme_param(header)
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""
