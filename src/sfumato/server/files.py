"""Files that are in their place whole, and stay there through a power cut, or are not there at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from sfumato.errors import StorageError, StoreFull

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def place(file: Path, content: bytes, workbench: Path, guard: AbstractContextManager[object] = nullcontext()) -> None:
    """Put a file in its place: written in the folder `workbench`, on the same disk, and moved from there.

    The folder of the file is made if need be; the one around that must be there. The move is made within `guard`; what
    that raises is raised, and nothing was moved.

    Raises:
        StoreFull: there is no room; nothing was written.
        StorageError: it cannot be written for another reason.
    """
    temporary = workbench / f"{secrets.token_hex(8)}{file.suffix}"
    try:
        with writing(file):
            temporary.write_bytes(content)
            flush(temporary)
            with guard:
                if not file.parent.exists():
                    file.parent.mkdir(exist_ok=True)
                    flush(file.parent.parent)
                temporary.replace(file)
                flush(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed write into a StoreFull, or a StorageError that says what to do."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StoreFull(full()) from error
        raise StorageError(f"Could not write {path}: {error.strerror or error}. Look at its rights.") from error


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def full() -> str:
    """What a person is told. Without the path: those who ask for pictures need not know it."""
    return "The disk with the store of jobs is full. Nothing was half-written; make room, then ask again."


class Reserve:
    """A file of some size that is given up when the disk is full, so that room can be made even then."""

    def __init__(self, file: Path, size: int) -> None:
        self._file, self._size = file, size

    def hold(self) -> None:
        """Take the room, unless it is held or there is none."""
        if self._file.exists():
            return
        try:
            self._file.write_bytes(b"\1" * self._size)  # not zeros, of which some disks keep nothing
        except OSError:
            self.give_up()

    def give_up(self) -> None:
        """Leave the room to others."""
        self._file.unlink(missing_ok=True)
