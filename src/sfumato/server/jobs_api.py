"""/jobs: our own interface. A job is accepted at once, followed, looked at, cancelled."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, Response
from PIL import Image
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from sfumato.server.asking import submit
from sfumato.server.description import reference
from sfumato.server.encoding import encode
from sfumato.server.errors import Refusal, answers
from sfumato.server.forms import LONGEST_FIELD, described, form_of, one, require_type
from sfumato.server.given import bytes_of, picture_of
from sfumato.server.job import Event, Job
from sfumato.server.limits import NETWORKS
from sfumato.server.serving import Asker, Here, Owner, Serving
from sfumato.server.shapes import PICTURES, Ask, JobAsked, JobList, JobShown
from sfumato.server.streams import EventStream, event
from sfumato.server.waiting import events, failed

router = APIRouter(prefix="/jobs", tags=["jobs"])

Id = Annotated[str, Path(max_length=64, description="Of the job.")]
Number = Annotated[int, Path(ge=0, lt=2**31, description="Which of its pictures, from 0.")]
FILES = {"picture": "To begin with, or that the denoiser looks at.", "mask": "Light where it is painted anew."}
JSON, FORM = "application/json", "multipart/form-data"


class Form(BaseModel):
    """A job as a form."""

    request: str = Field(max_length=LONGEST_FIELD, description="The same as JSON.")


BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": reference(JobAsked)},
            FORM: {"schema": described(Form, FILES)},
        },
    }
}


@router.post(
    "",
    status_code=202,
    responses=answers(404, 408, 413, 415, 429, 500, 503, 507),
    openapi_extra=BODY,
)
async def accept(http: Request, here: Here, owner: Asker, answer: Response) -> JobShown:
    """Accept a job, which survives whatever happens to the server.

    The body is JSON, with pictures in base64; or a form whose field `request` is that JSON, with pictures as files.
    """
    asked, files = await _asked(http)
    settings = asked.settings()
    sent = {name: each for name in PICTURES if (each := files.get(name, settings.pop(name, None))) is not None}
    given = partial(_pictures, sent) if sent else None
    job, _ = await submit(here, owner, asked.model, settings, asked.count, asked.private, given=given)
    answer.headers["Location"] = f"/jobs/{job.id}"
    return await run_in_threadpool(shown, here, job)


@router.get("", responses=answers(500))
def history(
    here: Here,
    owner: Owner,
    search: Annotated[str, Query(max_length=1000, description="Words that stand in the prompts.")] = "",
    before: Annotated[float | None, Query(allow_inf_nan=False, description="Jobs created before this moment.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobList:
    """The jobs of this key, newest first."""
    jobs = here.engine.store.jobs(owner, search, before, limit)
    return JobList(jobs=[shown(here, job) for job in jobs], before=jobs[-1].created if len(jobs) == limit else None)


@router.get("/{id}", responses=answers(404, 500))
def look(id: Id, here: Here, owner: Owner) -> JobShown:
    """A job, as it is."""
    return shown(here, own(here, owner, id))


@router.delete("/{id}", responses=answers(404, 409, 500))
def cancel(
    id: Id,
    here: Here,
    owner: Owner,
    forget: Annotated[bool, Query(description="Whether to delete it, its words and its pictures, for good.")] = False,
) -> JobShown:
    """Cancel a job; one that is finished stays as it is. It may be forgotten too."""
    job = own(here, owner, id)
    if not job.is_finished:
        job = here.engine.cancel(id)
    told = shown(here, job)
    if forget:
        here.engine.store.forget(id)
    return told


@router.get(
    "/{id}/pictures/{number}",
    response_class=FileResponse,
    responses={**answers(404, 500), 200: {"content": {"image/png": {}}}, 304: {"description": "It is the same."}},
)
def picture(id: Id, number: Number, http: Request, here: Here, owner: Owner) -> Response:
    """A finished picture, a PNG that carries its recipe."""
    own(here, owner, id)
    return png(here, http, id, number)


@router.get(
    "/{id}/events",
    status_code=200,
    response_class=EventStream,
    responses={**answers(404, 500), 200: {"content": {"text/event-stream": {}}}},
)
def follow(
    id: Id,
    here: Here,
    owner: Owner,
    previews: Annotated[bool, Query(description="Whether steps show how the picture looks.")] = False,
) -> EventStream:
    """What happens to a job, as server-sent events: queued, step, picture, and at last done, failed or cancelled."""
    return EventStream(_told(here, own(here, owner, id), previews))


def own(here: Serving, owner: str, id: str) -> Job:
    """A job of this owner. Refusal 404 for others', which are not told from those that never were."""
    job = here.engine.store.job(id)
    if job is None or job.owner != owner:
        raise Refusal(404, "There is no such job.", code="job_not_found")
    return job


def shown(here: Serving, job: Job) -> JobShown:
    """A job as clients see it."""
    position = here.engine.position(job.id) if job.state == "queued" else 0
    pictures = [f"/jobs/{job.id}/pictures/{number}" for number in here.engine.store.kept(job.id)]
    return JobShown(
        id=job.id,
        model=job.model,
        state=job.state,  # type: ignore[arg-type]
        count=job.count,
        position=position,
        pictures=pictures,
        request=_without_paths(dict(job.request)),
        created=job.created,
        started=job.started,
        finished=job.finished,
        error=job.error,
        private=job.private,
    )


def png(here: Serving, http: Request, id: str, number: int) -> Response:
    """The file of a picture, which never changes; Refusal 404 when it is not there."""
    path = here.engine.store.path(id, number)
    if path is None:
        raise Refusal(404, "There is no such picture, or not yet.", code="picture_not_found")
    headers = {"ETag": f'"{id}-{number}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if headers["ETag"] in http.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type="image/png")


async def _asked(http: Request) -> tuple[Ask, dict[str, bytes]]:
    if require_type(http, JSON, FORM) == JSON:
        return JobAsked.model_validate_json(await http.body()), {}
    form, files = await form_of(http, Form, PICTURES)
    found = {name: content for name in PICTURES if (content := one(files, name)) is not None}
    return JobAsked.model_validate_json(form.request), found


def _pictures(sent: Mapping[str, bytes | str]) -> dict[str, Image.Image]:
    """The pictures that came as files or in base64; Refusal if one is none."""
    contents = {name: each if isinstance(each, bytes) else bytes_of(each, name) for name, each in sent.items()}
    return {name: picture_of(content, name) for name, content in contents.items()}


async def _told(here: Serving, job: Job, previews: bool) -> AsyncGenerator[str, None]:
    try:
        async with aclosing(events(here, job.id)) as following:
            async for happened in following:
                yield event(await run_in_threadpool(_data, happened, previews), happened.kind)
        last = await run_in_threadpool(here.engine.store.job, job.id)
        if last is not None:
            yield event((await run_in_threadpool(shown, here, last)).model_dump(), "job")
    except Exception as error:
        yield event(failed(here, error), "error")


def _data(happened: Event, previews: bool) -> dict[str, Any]:
    names = ("job", "kind", "picture", "stage", "step", "steps", "position")
    told: dict[str, Any] = {name: getattr(happened, name) for name in names}
    if happened.kind == "picture":
        told["url"] = f"/jobs/{happened.job}/pictures/{happened.picture}"
    if previews and happened.preview is not None:
        told["preview"] = base64.b64encode(encode(happened.preview(), "webp", 80)).decode()
    return told


def _without_paths(request: dict[str, Any]) -> dict[str, Any]:
    """The settings as a client may see them: pictures given by what they hold, not by where they lie."""
    for name in PICTURES:
        if isinstance(request.get(name), dict):
            request[name] = {"sha256": request[name].get("sha256")}
    for name in NETWORKS:
        request.pop(name, None)
    return {name: value for name, value in request.items() if value is not None}
