"""What was looked into, as pages of their own that are kept for a while."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict

from fastapi import Depends, HTTPException
from fastapi.responses import HTMLResponse
from nicegui import app as pages

from sfumato.pipelines.request import Request
from sfumato.server.studio.studio import Studio

URL = "/_studio/looks"
KEPT = 16  # pages of a few megabytes


class Looks:
    """The newest pages, each for the one who asked; a trace at a time, since it takes all the machine has."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._pages: OrderedDict[str, tuple[str, str]] = OrderedDict()  # owner and page
        self._one_at_a_time = asyncio.Semaphore(1)

    def attach(self) -> None:
        """Define the route that serves them."""

        @pages.get(URL + "/{name}", dependencies=[Depends(self._studio.admit)], include_in_schema=False)
        def look(name: str) -> HTMLResponse:
            owner, text = self._pages.get(name, ("", ""))
            if not text or owner != self._studio.owner:
                raise HTTPException(404, "This look inside is not kept any more; look again.")
            return HTMLResponse(text, headers={"Cache-Control": "private, no-store"})

    async def add(self, owner: str, model: str, request: Request) -> str:
        """Look into a picture; the name of its page. PromptError where the model cannot make it or be looked into."""
        async with self._one_at_a_time:
            text = await asyncio.to_thread(self._traced, model, request)
        name = secrets.token_urlsafe(16)
        self._pages[name] = owner, text
        while len(self._pages) > KEPT:
            self._pages.popitem(last=False)
        return name

    def url(self, name: str) -> str:
        """Where a page is."""
        return f"{URL}/{name}"

    def _traced(self, model: str, request: Request) -> str:
        from sfumato.server.xray import page

        return page(self._studio.models.pipeline(model).trace(request))
