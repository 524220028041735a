"""Jobs that survive: what was accepted stands in SQLite, what was made lies in files beside it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sfumato.server.job import Job

if TYPE_CHECKING:
    from PIL import Image

    from sfumato.pipelines.request import Request

MOST_LISTED = 500  # jobs in one answer


class Store:
    """A folder of jobs and pictures that one process owns. All methods may be called from any thread.

    Its files: `jobs.sqlite`; `pictures/<id>/<number>.png`, what was made; `given/<sha256>`, pictures that requests
    begin with or look at; `lock`, held by the process that owns the folder, whichever way that ends.

    Raises:
        StoreError: another process has the folder, or its database is damaged or of a later version; nothing was
            changed.
        StoreFull: there is no room to begin with.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        raise NotImplementedError

    def add(self, owner: str, model: str, request: Request, count: int = 1, private: bool = False) -> Job:
        """Accept a job; when this returns, it survives a kill and a power cut. Pictures given are copied in.

        Raises:
            PromptError: `count` is not at least 1, its seeds are too large, or a picture given cannot be read.
            StoreFull: there is no room; nothing was accepted.
        """
        raise NotImplementedError

    def job(self, id: str) -> Job | None:
        """A job by its id, or None; whatever comes from outside may be asked for."""
        raise NotImplementedError

    def jobs(
        self,
        owner: str | None = None,
        search: str = "",
        before: float | None = None,
        limit: int = 50,
        states: Collection[str] = (),
    ) -> list[Job]:
        """The history, newest first.

        Args:
            owner: whose jobs; everybody's if None.
            search: words, each of which stands somewhere in the prompts, in small or capital letters.
            before: jobs created before this moment alone; `created` of the last of a page leads to the next, without
                a gap.
            limit: at most so many, up to `MOST_LISTED`.
            states: jobs in one of these alone; all if empty.
        """
        raise NotImplementedError

    def unfinished(self) -> list[Job]:
        """The jobs that are queued or were running, oldest first."""
        raise NotImplementedError

    def mark(self, id: str, state: str, error: str = "") -> Job:
        """Bring a job into a state of `sfumato.server.job.TRANSITIONS`; into the one it has already changes nothing.

        Raises:
            StoreError: there is no such job, this state may not follow, or it is to be done but lacks a picture.
            StoreFull: there is no room; the state is as it was.
        """
        raise NotImplementedError

    def keep(self, id: str, picture: int, image: Image.Image, recipe: dict[str, Any]) -> Path:
        """Keep one of a job's pictures, whole or not at all; the first one kept stays, however often it comes again.

        Raises:
            StoreError: there is no such job, or it has no such picture.
            StoreFull: there is no room; nothing was kept.
        """
        raise NotImplementedError

    def kept(self, id: str) -> list[int]:
        """Which of a job's pictures are kept, in order; none for an id that is unknown."""
        raise NotImplementedError

    def path(self, id: str, picture: int) -> Path | None:
        """The file of a picture that is kept, or None; whatever comes from outside may be asked for."""
        raise NotImplementedError

    def forget(self, id: str) -> None:
        """Delete a finished job, its words and its pictures, for good. Harmless if there is none.

        Raises StoreError when it is not finished; it is cancelled first.
        """
        raise NotImplementedError

    def prune(self, older_than: float | None = None, keep_at_most: int | None = None) -> int:
        """Forget finished jobs, oldest first, and tell how many.

        Args:
            older_than: seconds; forget what was finished longer ago.
            keep_at_most: bytes; forget until all pictures together take no more.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give the folder free; the store is not used after that. Closing twice is harmless."""
        raise NotImplementedError

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
