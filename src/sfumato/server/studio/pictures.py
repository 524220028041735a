"""Finished pictures by the names that addresses carry, and the route that serves them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Depends, HTTPException, Response
from fastapi.responses import FileResponse
from nicegui import app as pages
from PIL import Image

from sfumato.errors import PromptError
from sfumato.pipelines.keepsake import read_recipe
from sfumato.pipelines.request import Request
from sfumato.server.job import Job
from sfumato.server.studio.studio import Studio

URL = "/_studio/pictures"
SMALL = 320  # pixels of the longer side of what the history shows
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Picture:
    """One of a job's pictures, from 0, that is kept."""

    job: Job
    number: int
    path: Path

    @property
    def name(self) -> str:
        """As `?picture=` names it: the job's id, a slash, the number."""
        return f"{self.job.id}/{self.number}"

    @property
    def url(self) -> str:
        """The whole picture, with its recipe."""
        return f"{URL}/{self.name}"

    @property
    def small_url(self) -> str:
        """At most `SMALL` pixels a side."""
        return f"{URL}/{self.name}/small"

    @property
    def request(self) -> Request:
        """What it was made from; PromptError where this version does not understand it."""
        return self.job.asked(self.number)

    @property
    def prompt(self) -> str:
        """Its words; a description where they were forgotten."""
        return str(self.job.request.get("prompt") or "") or "A picture whose words are private"

    def recipe(self) -> dict[str, Any]:
        """What makes it again, as the file says; empty where it carries none."""
        try:
            return read_recipe(self.path)
        except PromptError:
            return {}


def picture_of(studio: Studio, owner: str, job: Job | None, number: int) -> Picture | None:
    """A kept picture of somebody, or None."""
    if job is None or job.owner != owner or not 0 <= number < job.count:
        return None
    path = studio.store.path(job.id, number)
    return Picture(job, number, path) if path else None


def named(studio: Studio, owner: str, name: str) -> Picture | None:
    """A picture by the name that an address carries, which may be anything; None where there is none of that owner."""
    id, _, number = name.partition("/")
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        return None
    return picture_of(studio, owner, studio.store.job(id), int(number))


def attach(studio: Studio) -> None:
    """Define the routes that serve pictures to their owners."""

    def asked(id: str, number: int) -> Picture:
        picture = named(studio, studio.owner, f"{id}/{number}")
        if picture is None:
            raise HTTPException(404, "There is no such picture.")
        return picture

    @pages.get(URL + "/{id}/{number}", dependencies=[Depends(studio.admit)], include_in_schema=False)
    def whole(id: str, number: int) -> Response:
        return FileResponse(asked(id, number).path, media_type="image/png", headers=FOREVER)

    @pages.get(URL + "/{id}/{number}/small", dependencies=[Depends(studio.admit)], include_in_schema=False)
    def small(id: str, number: int) -> Response:
        path = asked(id, number).path
        with Image.open(path) as picture:
            if max(picture.size) <= SMALL:
                return FileResponse(path, media_type="image/png", headers=FOREVER)
            picture.thumbnail((SMALL, SMALL))
            written = io.BytesIO()
            picture.convert("RGB").save(written, format="WEBP", quality=85)
        return Response(written.getvalue(), media_type="image/webp", headers=FOREVER)
