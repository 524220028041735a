"""What was made for a person besides the pictures of the store: pages and large pictures, kept for a while."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from fastapi import Depends, HTTPException, Response
from nicegui import app as pages

if TYPE_CHECKING:
    from sfumato.server.studio.studio import Studio

URL = "/_studio/tray"
KEPT = 24  # of a few megabytes
HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


class Tray:
    """The newest things, each for the one who asked for it."""

    def __init__(self) -> None:
        self._things: OrderedDict[str, tuple[str, bytes, str]] = OrderedDict()  # owner, content, kind

    def put(self, owner: str, content: bytes, kind: str) -> str:
        """Lay something there for its owner; the address at which it is, until much else was laid there."""
        name = secrets.token_urlsafe(16)
        self._things[name] = owner, content, kind
        while len(self._things) > KEPT:
            self._things.popitem(last=False)
        return f"{URL}/{name}"

    def take(self, owner: str, name: str) -> tuple[bytes, str] | None:
        """What lies there under a name, and its media type; None where there is nothing of this owner."""
        whose, content, kind = self._things.get(name, ("", b"", ""))
        return (content, kind) if whose and whose == owner else None


def attach(studio: Studio) -> None:
    """Define the route that serves what lies there."""

    @pages.get(URL + "/{name}", dependencies=[Depends(studio.admit)], include_in_schema=False)
    def thing(name: str) -> Response:
        found = studio.tray.take(studio.owner, name)
        if found is None:
            raise HTTPException(404, "This is not kept any more; make it again.")
        return Response(found[0], media_type=found[1], headers=HEADERS)
