"""A folder belongs to one process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sfumato.errors import StoreError


class Lock:
    """Hold a file while the process lives. The system lets go of it when the process ends, whichever way.

    Raises StoreError when another holds it, naming its process where that is known.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 20).decode("ascii", "replace").strip()
            os.close(self._file)
            raise StoreError(
                f"{path.parent} is in use{f' by process {holder}' if holder else ''}: a store of jobs belongs to one "
                "process. Stop that one, or take another folder."
            ) from None
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let go of it. Twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
