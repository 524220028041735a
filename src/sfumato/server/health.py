"""For machines that look after machines: /health, /ready, /metrics. And pictures by address, for people."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from pydantic import BaseModel

from sfumato.server.encoding import FORMATS, encoded
from sfumato.server.errors import Refusal, answers
from sfumato.server.jobs_api import Id, png
from sfumato.server.serving import Here, Owner

router = APIRouter(tags=["server"])

KINDS: dict[str, Any] = {kind: {} for kind in FORMATS.values()}
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Health(BaseModel):
    """That the server lives."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """That the server's first model is loaded."""

    status: Literal["ready"] = "ready"


@router.head("/health", include_in_schema=False)  # as some who look after machines ask
@router.get("/health")
async def health() -> Health:
    """Whether the server lives; told by the event loop itself, since all threads may wait for a model."""
    return Health()


@router.head("/ready", include_in_schema=False)
@router.get("/ready", responses={503: answers(503)[503]})
async def ready(here: Here) -> Readiness:
    """Whether the first model is loaded; 503 until it is, and when the server stops."""
    if here.leaving.is_set() or not here.ready.is_set():
        raise Refusal(503, "The first model is not loaded yet.", code="not_ready", headers={"Retry-After": "2"})
    return Readiness()


@router.get("/metrics", response_class=PlainTextResponse, responses=answers(500))
def metrics(here: Here, owner: Owner) -> Response:
    """Counts for Prometheus, without anything that people typed."""
    return Response(here.metrics.page(), media_type=PROMETHEUS)


@router.get(
    "/pictures/{id}/{number}.{format}",
    response_class=FileResponse,
    responses={**{status: answers(404)[status] for status in (400, 403, 404)}, 200: {"content": KINDS}},
)
def linked(
    id: Id,
    number: Annotated[int, Path(ge=0, lt=2**31)],
    format: Literal["png", "jpeg", "webp"],
    http: Request,
    here: Here,
    until: Annotated[int, Query(ge=0, lt=2**40)],
    signature: Annotated[str, Query(max_length=64)],
    quality: Annotated[int | None, Query(ge=0, le=100, description="Of JPEG and WebP.")] = None,
) -> Response:
    """A picture by the address that an answer named; it needs no key, and holds for a while."""
    if not here.links.holds(id, number, until, signature):
        raise Refusal(403, "This address does not hold, or no longer.", code="link_expired")
    if format == "png":
        return png(here, http, id, number)
    path = here.engine.store.path(id, number)
    if path is None:
        raise Refusal(404, "There is no such picture.", code="picture_not_found")
    content = encoded(path, format, quality, here.engine.store.marks.signer)
    return Response(content, media_type=FORMATS[format])
