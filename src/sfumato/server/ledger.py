"""The database of a store: SQLite whose commits survive a power cut, with a version and the ways from older ones."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sfumato.errors import StorageError, StoreDamaged, StoreError, StoreFull
from sfumato.server.files import full

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            model TEXT NOT NULL,
            count INTEGER NOT NULL,
            state TEXT NOT NULL,
            created REAL NOT NULL UNIQUE,    -- so that a page of the history ends at one job
            started REAL,
            finished REAL,
            error TEXT NOT NULL,
            private INTEGER NOT NULL,
            words TEXT NOT NULL,             -- the prompts as they are searched; empty for private jobs
            request TEXT NOT NULL            -- JSON; last, so that a search need not read it
        )""",
        "CREATE INDEX of_owner ON jobs (owner, created)",
        "CREATE INDEX unfinished ON jobs (created) WHERE finished IS NULL",
        """CREATE TABLE given (
            job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
            sha256 TEXT NOT NULL,
            PRIMARY KEY (job, sha256)
        ) WITHOUT ROWID""",
        "CREATE INDEX of_picture ON given (sha256)",
    ),
)
"""What leads from each version of the database to the next; the number of those that were done is its version."""


class Ledger:
    """The database in a file; it may be used from any thread. One connection reads while another one writes.

    Raises:
        StoreDamaged: the file is damaged, or of a later version; it is left as it is.
        StoreFull: there is no room to begin with.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing, self._reading = threading.Lock(), threading.Lock()
        with self._told():
            self._writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._reader: sqlite3.Connection | None = None
            try:
                self._prepare()
            except BaseException:
                self.close()
                raise

    def _prepare(self) -> None:
        self._require_sound()
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            self._writer.execute(f"PRAGMA {setting}")
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreDamaged(
                f"{self._path} was written by a later version of sfumato, which this one does not understand. "
                "Nothing was changed; take that version, or another folder."
            )
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            with self.change() as database:
                for statement in statements:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {number}")
        self._reader = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._reader.execute("PRAGMA query_only = ON")
        for connection in (self._writer, self._reader):
            connection.row_factory = sqlite3.Row
        self.wipe()  # what a process that was killed left

    def _require_sound(self) -> None:
        (verdict,) = self._writer.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreDamaged(self._damaged(verdict))

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """All the changes within, or none; they are on the disk when it is left. One thread at a time.

        Raises StoreFull when there is no room for them.
        """
        with self._writing, self._told():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # SQLite may have taken it back itself
                    self._writer.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """What is committed; nobody who writes is waited for."""
        with self._reading, self._told():
            assert self._reader is not None
            return self._reader.execute(query, values).fetchall()

    def wipe(self) -> None:
        """Let nothing of what was deleted linger in the log; as far as the disk has room for it."""
        with suppress(StoreFull), self._reading, self._writing, self._told():
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Closing twice is harmless."""
        with self._reading, self._writing:
            if self._reader is not None:
                self._reader.close()
            self._writer.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
                raise StoreFull(full()) from error
            if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise StoreDamaged(self._damaged(error)) from error
            if code & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
                raise StorageError(
                    f"{self._path} cannot be used: {error}. Look at the disk and at the rights."
                ) from error
            if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
                raise StoreError("The store of jobs is closed.") from error
            raise

    def _damaged(self, why: object) -> str:
        reason = " ".join(str(why).split())
        return (
            f"{self._path} is damaged ({reason}). It was left as it is, and the pictures beside it too. "
            f"To save what can be saved: `sqlite3 {self._path.name} .recover | sqlite3 saved.sqlite`. Put that or a "
            "backup in its place, or move the whole folder away to begin with an empty history."
        )
