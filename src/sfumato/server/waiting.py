"""Calls that answer with the pictures themselves wait for their job; who leaves meanwhile gives it up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from sfumato.server.errors import Refusal
from sfumato.server.job import Event, Job
from sfumato.server.serving import Serving, refused

Answer = TypeVar("Answer")

STOPS = "The server stops; the job goes on when it starts again."


class Unawaited(Refusal):
    """Work for which nobody waits any more."""


async def pictures_of(
    here: Serving, job: Job, http: Request, note: Callable[[Event], None] | None = None
) -> list[Path]:
    """The files of a job's pictures, when all are made.

    Args:
        here: the server.
        job: that was accepted just now.
        http: the call that waits; when its client is gone the job is cancelled, but not when the server stops.
        note: is told of what happens.

    Raises:
        Refusal: the job failed (500), was cancelled (409) or took too long (504).
    """
    try:
        await awaited(_end(here, job, note), here, http, "The picture", STOPS)
    except Unawaited:
        await give_up(here, job.id)
        raise
    return await run_in_threadpool(kept, here, job.id)


async def awaited(
    work: Coroutine[Any, Any, Answer], here: Serving, http: Request, what: str, when_stopping: str
) -> Answer:
    """What comes of some work that a call waits for; where nobody does any more, the work is cancelled.

    Args:
        work: which is cancelled and waited for whatever happens.
        here: the server, with how long it waits and whether it stops.
        http: the call, whose body was read.
        what: is made, for people.
        when_stopping: what they are told where the server stops.

    Raises:
        Unawaited: the client left (499, or 503 when the server stops), or it took too long (504).
        Exception: whatever the work raised.
    """
    end, gone = asyncio.create_task(work), asyncio.create_task(_gone(http))
    try:
        done, _ = await asyncio.wait({end, gone}, timeout=here.settings.wait, return_when=asyncio.FIRST_COMPLETED)
        if end in done:
            return end.result()
    finally:
        for task in (end, gone):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
    if gone not in done:
        raise Unawaited(504, f"{what} was not done in {here.settings.wait:g} s.", code="timeout")
    if here.leaving.is_set():
        raise Unawaited(503, when_stopping, code="stopping")
    raise Unawaited(499, "The client left.", code="client_left")


def kept(here: Serving, id: str) -> list[Path]:
    """The files of a job that is done; Refusal says what became of another."""
    require_done(here.engine.store.job(id))
    return kept_so_far(here, id)


def kept_so_far(here: Serving, id: str) -> list[Path]:
    """The files of a job's pictures that there are."""
    store = here.engine.store
    paths = [store.path(id, picture) for picture in store.kept(id)]
    return [path for path in paths if path is not None]


def require_done(job: Job | None) -> None:
    """Refuse what did not come to its end: Refusal says why."""
    if job is None or job.state == "cancelled":
        raise Refusal(409, "The job was cancelled.", code="cancelled")
    if job.state == "failed":
        raise Refusal(500, job.error or "The job failed.", code="job_failed")
    if job.state != "done":
        raise Refusal(503, STOPS, code="stopping")


async def events(here: Serving, id: str) -> AsyncGenerator[Event, None]:
    """What happens to a job until it is finished, also if it is finished already."""
    async with aclosing(here.engine.follow(id)) as following:
        async for event in following:
            yield event


def failed(here: Serving, error: Exception) -> dict[str, Any]:
    """What is said within a stream when something goes wrong; a fault of the server's own is written down."""
    return {"error": refused(here, error).error()}


async def give_up(here: Serving, id: str) -> None:
    """Cancel a job that nobody waits for; harmless if it is finished. Not when the server stops: it is to go on."""
    if not here.leaving.is_set():
        with suppress(Exception):
            await run_in_threadpool(here.engine.cancel, id)


async def _end(here: Serving, job: Job, note: Callable[[Event], None] | None) -> None:
    async with aclosing(events(here, job.id)) as following:
        async for event in following:
            if note is not None:
                note(event)


async def _gone(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
