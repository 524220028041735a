"""The pictures that come with requests: each is kept once, under its SHA-256, while a job needs it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.server.files import place

if TYPE_CHECKING:
    from sfumato.pipelines.given import Given

_SHA256 = re.compile("[0-9a-f]{64}")
KEYS = {"path", "sha256"}  # of a picture given, as JSON


def enclosed(value: Any) -> Iterator[Given]:
    """Every picture given with a request, wherever in it."""
    from sfumato.pipelines.given import Given

    if isinstance(value, Given):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from enclosed(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from enclosed(item)


class Enclosures:
    """The folder of these pictures. It does not wait for itself: one thread at a time takes in and discards."""

    def __init__(self, folder: Path, workbench: Path) -> None:
        self._folder, self._workbench = folder, workbench

    def take_in(self, given: Given) -> None:
        """Copy a picture, unless it is here already; StoreFull when there is no room, PromptError when it is gone."""
        file = self._folder / given.sha256
        if not file.exists():
            place(file, given.content(), self._workbench)

    def discard(self, database: sqlite3.Connection, names: Iterable[str]) -> None:
        """Remove those of the pictures with these SHA-256 that no job needs."""
        for name in names:
            if not database.execute("SELECT 1 FROM given WHERE sha256 = ?", (name,)).fetchone():
                (self._folder / name).unlink(missing_ok=True)

    def sweep(self, database: sqlite3.Connection) -> None:
        """Remove those that no job needs: of a process that was killed while it accepted one, say."""
        self.discard(database, [file.name for file in self._folder.iterdir() if _SHA256.fullmatch(file.name)])

    def pointed(self, value: Any) -> Any:
        """JSON values of a request, whose pictures are found in this folder: a path from elsewhere is not followed."""
        if isinstance(value, Mapping):
            if set(value) == KEYS:
                return {"path": self._path(value["sha256"]), "sha256": value["sha256"]}
            return {name: self.pointed(item) for name, item in value.items()}
        return [self.pointed(item) for item in value] if isinstance(value, list | tuple) else value

    def _path(self, sha256: Any) -> str:
        known = isinstance(sha256, str) and _SHA256.fullmatch(sha256)
        return str(self._folder / sha256) if known else ""
