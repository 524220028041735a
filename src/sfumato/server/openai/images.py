"""/v1/images: generations, edits and variations."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from sfumato.pipelines.request import Request as Plan
from sfumato.server.asking import submit
from sfumato.server.encoding import encoded
from sfumato.server.errors import answers
from sfumato.server.forms import described, form_of, one
from sfumato.server.job import Job
from sfumato.server.loading import loaded
from sfumato.server.openai import asking
from sfumato.server.openai.shapes import Common, Edit, Generation, Picture, Pictures, Rendered, Variation
from sfumato.server.openai.streaming import Shown, streamed
from sfumato.server.serving import Asker, Here, Serving
from sfumato.server.streams import EventStream
from sfumato.server.waiting import give_up, pictures_of

router = APIRouter(prefix="/v1/images", tags=["OpenAI"])

WRONG = answers(404, 408, 409, 413, 415, 429, 500, 503, 504, 507)
ALSO_STREAMS: dict[int | str, dict[str, Any]] = {
    **WRONG,
    200: {"description": "The pictures; with `stream` as events.", "content": {"text/event-stream": {}}},
}
IMAGE = "PNG, JPEG, WebP and others. Its transparent part is painted anew, if there is no mask."
MASK = "A picture of the same size, transparent where the image is to be painted anew."


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


@router.post("/generations", response_model=Pictures, responses=ALSO_STREAMS)
async def generations(asked: Generation, http: Request, here: Here, owner: Asker) -> Any:
    """Make pictures of a prompt."""
    settings = asking.settings_of(asked, await _steps(here, asked.model))
    return await _answer(here, owner, asked, settings, http, "image_generation")


@router.post(
    "/edits",
    response_model=Pictures,
    responses=ALSO_STREAMS,
    openapi_extra=_form(described(Edit, {"image": IMAGE, "mask": MASK}, ("image",))),
)
async def edits(http: Request, here: Here, owner: Asker) -> Any:
    """Paint a part of a picture anew, or change it as a whole."""
    asked, files = await form_of(http, Edit, ("image", "mask"))
    settings = asking.settings_of(asked, await _steps(here, asked.model))
    pictures, mask = files.get("image", []), one(files, "mask")
    given = partial(asking.edited, asked, pictures, mask)
    return await _answer(here, owner, asked, settings, http, "image_edit", given)


@router.post(
    "/variations",
    response_model=Pictures,
    responses=WRONG,
    openapi_extra=_form(described(Variation, {"image": "The picture to be like."}, ("image",))),
)
async def variations(http: Request, here: Here, owner: Asker) -> Any:
    """Make pictures like one."""
    asked, files = await form_of(http, Variation, ("image",))
    settings = asking.settings_of(asked, await _steps(here, asked.model))
    given = partial(asking.varied, asked, one(files, "image"))
    return await _answer(here, owner, asked, settings, http, "", given)


async def _answer(
    here: Serving,
    owner: str,
    asked: Common,
    settings: dict[str, Any],
    http: Request,
    name: str,
    given: Callable[[], dict[str, Any]] | None = None,
) -> Response | Pictures:
    """The pictures, or a stream of events whose names begin with `name`."""
    job, agreed = await submit(
        here, owner, asked.model, settings, asked.n or 1, bool(asked.private), asking.NAMES, given
    )
    size = f"{agreed.width}x{agreed.height}"
    if isinstance(asked, Rendered) and asked.stream:
        shown = Shown(name, size, asked.output_format or "png", asked.output_compression, asked.quality or "auto")
        return EventStream(streamed(here, job, shown, asked.partial_images or 0), partial(give_up, here, job.id))
    paths = await pictures_of(here, job, http)
    return await run_in_threadpool(_pictures, here, job, paths, asked, size, str(http.base_url))


def _pictures(here: Serving, job: Job, paths: list[Path], asked: Common, size: str, base: str) -> Pictures:
    rendered = asked if isinstance(asked, Rendered) else None
    format = (rendered and rendered.output_format) or "png"
    quality = rendered.output_compression if rendered else None
    if asked.response_format == "url":
        links = [here.links.path(job.id, number, format, quality) for number in range(len(paths))]
        data = [Picture(url=base.rstrip("/") + link) for link in links]
    else:
        signer = here.engine.store.marks.signer
        data = [Picture(b64_json=base64.b64encode(encoded(path, format, quality, signer)).decode()) for path in paths]
    return Pictures(created=int(time.time()), data=data, output_format=format, size=size)


async def _steps(here: Serving, model: str | None) -> int:
    """How many steps the model usually takes."""
    models = here.engine.models
    pipeline = await loaded(here, model or models.default, models.pipeline)
    return asking.usual_steps(getattr(pipeline.way, "usual", {}), Plan.num_inference_steps)
