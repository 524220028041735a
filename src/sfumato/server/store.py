"""Jobs that survive: what was accepted stands in SQLite, what was made lies in files beside it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from sfumato.errors import JobNotFound, PromptError, StoreError, StoreFull
from sfumato.pipelines.marks.writing import PLAIN, Marks, written
from sfumato.server.discretion import discreet, searchable, sought
from sfumato.server.enclosures import Enclosures, enclosed
from sfumato.server.files import Reserve, flush, writing
from sfumato.server.job import FINISHED, TRANSITIONS, Job, is_id, new_id
from sfumato.server.ledger import Ledger
from sfumato.server.lock import Lock
from sfumato.server.shelf import Shelf

if TYPE_CHECKING:
    from PIL import Image

    from sfumato.pipelines.request import Request

MOST_LISTED = 500  # jobs in one answer
TICK = 1e-6  # seconds; the least between two jobs, so that no two have the same moment
RESERVE = 2**20  # bytes
AT_ONCE = 100  # jobs that are forgotten while others wait to write

Done = TypeVar("Done")


class Store:
    """A folder of jobs and pictures that one process owns. All methods may be called from any thread.

    Its files: `jobs.sqlite`; `pictures/<id>/<number>.png`, what was made; `given/<sha256>`, pictures that requests
    begin with or look at; `lock`, held by the process that owns the folder, whichever way that ends; `reserve`, from
    which jobs come to an end and are forgotten when the disk is full.

    Args:
        folder: made if need be.
        marks: what every picture says of itself; those of private jobs keep their words to themselves besides.

    Raises:
        StoreError: another process has the folder.
        StoreDamaged: its database is damaged or of a later version; nothing was changed.
        StoreFull: there is no room to begin with.
    """

    def __init__(self, folder: str | Path, marks: Marks = PLAIN) -> None:
        self.folder = Path(folder).absolute()
        self.marks = marks
        workbench, pictures, given = (self.folder / name for name in ("partial", "pictures", "given"))
        with writing(self.folder):
            for folder in (self.folder, workbench, pictures, given):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # for nobody else's eyes: prompts are in it
            self._lock = Lock(self.folder / "lock")
        self._pictures, self._given = Shelf(pictures, workbench), Enclosures(given, workbench)
        try:
            with writing(self.folder):
                for leftover in workbench.iterdir():  # of a process that was killed
                    leftover.unlink()
            self._ledger = Ledger(self.folder / "jobs.sqlite")
            with writing(self.folder), self._ledger.change() as database:
                self._given.sweep(database)
            self._reserve = Reserve(self.folder / "reserve", RESERVE)
            self._reserve.hold()
            flush(self.folder)
            with suppress(PermissionError):  # what is around it may be another's
                flush(self.folder.parent)
        except BaseException:
            self._lock.release()
            raise

    def marks_of(self, job: Job) -> Marks:
        """What the pictures of a job say of themselves."""
        return replace(self.marks, private=job.private)

    def add(self, owner: str, model: str, request: Request, count: int = 1, private: bool = False) -> Job:
        """Accept a job; when this returns, it survives a kill and a power cut. Pictures given are copied in.

        Raises:
            PromptError: `count` is not at least 1, its seeds are too large, or a picture given cannot be read.
            StoreFull: there is no room; nothing was accepted.
        """
        if count < 1:
            raise PromptError(f"count is a whole number from 1, not {count}.")
        request.following(count - 1)  # refuses seeds that are too large
        told = json.loads(json.dumps(request.to_dict()))
        job = Job(new_id(), owner, model, self._given.pointed(told), count, "queued", 0.0, private=private)
        given = {one.sha256: one for one in enclosed(request)}
        try:
            with self._ledger.change() as database:
                for one in given.values():
                    self._given.take_in(one)
                job = replace(job, created=_moment(database))
                words = "" if private else searchable(told)
                database.execute(
                    "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, '', ?, ?, ?)",
                    (job.id, owner, model, count, job.state, job.created, private, words, _json(told)),
                )
                database.executemany("INSERT INTO given VALUES (?, ?)", [(job.id, sha256) for sha256 in given])
        except BaseException:
            with self._ledger.change() as database:
                self._given.discard(database, given)
            raise
        self._reserve.hold()
        return job

    def job(self, id: str) -> Job | None:
        """A job by its id, or None; whatever comes from outside may be asked for."""
        rows = self._ledger.rows("SELECT * FROM jobs WHERE id = ?", id) if is_id(id) else []
        return self._job(rows[0]) if rows else None

    def jobs(
        self, owner: str | None = None, search: str = "", before: float | None = None, limit: int = 50
    ) -> list[Job]:
        """The history, newest first.

        Args:
            owner: whose jobs; everybody's if None.
            search: words, each of which stands somewhere in the prompts, in small or capital letters.
            before: jobs created before this moment alone; `created` of the last of a page leads to the next, without
                a gap.
            limit: at most so many, up to `MOST_LISTED`.
        """
        conditions: list[tuple[str, list[Any]]] = [("instr(words, ?)", [word]) for word in sought(search)]
        if owner is not None:
            conditions.append(("owner = ?", [owner]))
        if before is not None:
            conditions.append(("created < ?", [before]))
        where = " AND ".join(text for text, _ in conditions) or "TRUE"
        values = [value for _, several in conditions for value in several]
        most = min(max(limit, 0), MOST_LISTED)
        rows = self._ledger.rows(f"SELECT * FROM jobs WHERE {where} ORDER BY created DESC LIMIT ?", *values, most)
        return [self._job(row) for row in rows]

    def unfinished(self) -> list[Job]:
        """The jobs that are queued or were running, oldest first."""
        rows = self._ledger.rows("SELECT * FROM jobs WHERE finished IS NULL ORDER BY created")
        return [self._job(row) for row in rows]

    def mark(self, id: str, state: str, error: str = "") -> Job:
        """Bring a job into a state of `sfumato.server.job.TRANSITIONS`; into the one it has already changes nothing.

        Raises:
            JobNotFound: there is no such job.
            StoreError: this state may not follow, or it is to be done but lacks a picture.
            StoreFull: there is no room, and no reserve is left; the state is as it was.
        """
        job = self._even_if_full(lambda: self._mark(id, state, error))
        if job.private and job.is_finished:
            self._ledger.wipe()
        return job

    def keep(self, id: str, picture: int, image: Image.Image, recipe: Mapping[str, Any]) -> Path:
        """Keep one of a job's pictures, whole or not at all; the first one kept stays, however often it comes again.

        Raises:
            JobNotFound: there is no such job, or it has no such picture.
            StoreFull: there is no room; nothing was kept.
        """
        job = self.job(id)
        if job is None or not 0 <= picture < job.count:
            raise JobNotFound(f"There is no job {id!r:.50} with a picture {picture}.")
        return self._pictures.put(id, picture, written(image, recipe, marks=self.marks_of(job)), self._remembered(id))

    def kept(self, id: str) -> list[int]:
        """Which of a job's pictures are kept, in order; none for an id that is unknown."""
        return self._pictures.numbers(id)

    def path(self, id: str, picture: int) -> Path | None:
        """The file of a picture that is kept, or None; whatever comes from outside may be asked for."""
        return self._pictures.file(id, picture)

    def forget(self, id: str) -> None:
        """Delete a finished job, its words and its pictures, for good. Harmless if there is none.

        Raises StoreError when it is not finished; it is cancelled first.
        """
        job = self.job(id)
        if job is None:
            return
        if not job.is_finished:
            raise StoreError(f"The job {id} is not finished; cancel it, then it can be forgotten.")
        self._remove([id])

    def prune(self, older_than: float | None = None, keep_at_most: int | None = None) -> int:
        """Forget finished jobs, the longest finished first, and tell how many.

        Args:
            older_than: seconds; forget what was finished longer ago.
            keep_at_most: bytes; forget until the pictures of all jobs together take no more.
        """
        finished = self._ledger.rows("SELECT id, finished FROM jobs WHERE finished IS NOT NULL ORDER BY finished")
        sizes = {row["id"]: self._pictures.size(row["id"]) for row in self._ledger.rows("SELECT id FROM jobs")}
        total, now = sum(sizes.values()), time.time()
        old = []
        for id, when in finished:
            too_old = older_than is not None and now - when > older_than
            too_much = keep_at_most is not None and total > keep_at_most
            if too_old or too_much:
                old.append(id)
                total -= sizes.get(id, 0)
        self._remove(old)
        return len(old)

    def close(self) -> None:
        """Give the folder free; the store is not used after that. Closing twice is harmless."""
        self._ledger.close()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mark(self, id: str, state: str, error: str) -> Job:
        with self._ledger.change() as database:
            job = self._known(database, id)
            if state == job.state:
                return job
            self._require_next(job, state)
            now = max(time.time(), job.started or job.created)  # whatever the clock does
            job = replace(
                job,
                state=state,
                error=error,
                started=now if state == "running" and job.started is None else job.started,
                finished=now if state in FINISHED else None,
            )
            if job.private and job.is_finished:
                job = replace(job, request=discreet(job.request))
                database.execute("UPDATE jobs SET request = ? WHERE id = ?", (_json(job.request), id))
                self._return_given(database, id)
            database.execute(
                "UPDATE jobs SET state = ?, error = ?, started = ?, finished = ? WHERE id = ?",
                (state, error, job.started, job.finished, id),
            )
        return job

    def _remove(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), AT_ONCE):
            self._even_if_full(partial(self._strike_off, ids[start : start + AT_ONCE]))
        self._ledger.wipe()

    def _strike_off(self, ids: Sequence[str]) -> None:
        with self._ledger.change() as database:  # meanwhile no picture is kept
            self._pictures.clear(ids)  # first: a job without pictures can be forgotten again, but not pictures alone
            for id in ids:
                self._return_given(database, id)
                database.execute("DELETE FROM jobs WHERE id = ?", (id,))

    @contextmanager
    def _remembered(self, id: str) -> Iterator[None]:
        """A while in which a job is not forgotten. Raises JobNotFound if it was before."""
        with self._ledger.change() as database:
            self._known(database, id)
            yield

    def _even_if_full(self, change: Callable[[], Done]) -> Done:
        try:
            return change()
        except StoreFull:
            self._reserve.give_up()
            return change()

    def _return_given(self, database: sqlite3.Connection, id: str) -> None:
        given = [name for (name,) in database.execute("SELECT sha256 FROM given WHERE job = ?", (id,))]
        database.execute("DELETE FROM given WHERE job = ?", (id,))
        self._given.discard(database, given)

    def _known(self, database: sqlite3.Connection, id: str) -> Job:
        row = database.execute("SELECT * FROM jobs WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise JobNotFound(f"There is no job {id!r:.50}.")
        return self._job(row)

    def _require_next(self, job: Job, state: str) -> None:
        if state not in TRANSITIONS[job.state]:
            raise StoreError(f"The job {job.id} is {job.state}; it cannot become {state!r:.50}.")
        if state == "done" and (missing := set(range(job.count)) - set(self.kept(job.id))):
            raise StoreError(f"The job {job.id} is not done: {len(missing)} of its {job.count} pictures are not kept.")

    def _job(self, row: sqlite3.Row) -> Job:
        values = {name: row[name] for name in row.keys() if name != "words"}  # noqa: SIM118 - a row is no mapping
        request = self._given.pointed(json.loads(row["request"]))
        return Job(**values | {"request": request, "private": bool(row["private"])})


def _moment(database: sqlite3.Connection) -> float:
    """Now, but later than every job before, whatever the clock does."""
    (latest,) = database.execute("SELECT max(created) FROM jobs").fetchone()
    return max(time.time(), (latest or 0) + TICK)


def _json(request: Mapping[str, Any]) -> str:
    return json.dumps(request, ensure_ascii=False)
