"""The pictures that were made: `<id of the job>/<number>.png`. What lies there is whole; no other book is kept."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from sfumato.server.files import flush, place
from sfumato.server.job import is_id

_NAME = re.compile(r"(0|[1-9][0-9]{0,8})\.png")


class Shelf:
    """The folder with a folder for each job. Ids and numbers from outside may be asked for."""

    def __init__(self, folder: Path, workbench: Path) -> None:
        self._folder, self._workbench = folder, workbench

    def put(self, id: str, number: int, content: bytes, guard: AbstractContextManager[object]) -> Path:
        """Put a picture in its place, within a guard, unless there is one: equal requests make equal pictures.

        Raises StoreFull when there is no room, StorageError when it cannot be written for another reason.
        """
        file = self._folder / id / f"{number}.png"
        if not file.exists():
            place(file, content, self._workbench, guard)
        return file

    def file(self, id: str, number: int) -> Path | None:
        """Where a picture lies; None if it does not."""
        if not is_id(id) or type(number) is not int:
            return None
        file = self._folder / id / f"{number}.png"
        return file if file.is_file() else None

    def numbers(self, id: str) -> list[int]:
        """Which pictures of a job there are, in order."""
        return sorted(int(file.stem) for file in self._files(id))

    def size(self, id: str) -> int:
        """Bytes that the pictures of a job take."""
        return sum(map(_size, self._files(id)))

    def clear(self, ids: Iterable[str]) -> None:
        """Remove the pictures of jobs, also from what a power cut leaves."""
        for id in filter(is_id, ids):
            shutil.rmtree(self._folder / id, ignore_errors=True)
        flush(self._folder)

    def _files(self, id: str) -> list[Path]:
        if not is_id(id):
            return []
        try:
            return [file for file in (self._folder / id).iterdir() if _NAME.fullmatch(file.name)]
        except FileNotFoundError:  # there are none yet, or they were removed just now
            return []


def _size(file: Path) -> int:
    """Of a file that may have been removed meanwhile."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
