"""What each owner's calls of this interface are doing now, and which model they chose: A1111 has one user only."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from sfumato.server.job import Event, Job

MOST_OWNERS = 10_000


@dataclass
class Work:
    """A job that a call waits for.

    Attributes:
        job: it.
        began: seconds, when.
        done: pictures that are finished.
        last: what happened to it last.
        shown: the latest event that can show how the picture looks.
        interrupted: whether its owner wants no more of it.
    """

    job: Job
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    last: Event | None = None
    shown: Event | None = None
    interrupted: bool = False

    def note(self, event: Event) -> None:
        """Take what happens."""
        self.last = event
        self.done += event.kind == "picture"
        if event.preview is not None:
            self.shown = event

    @property
    def part(self) -> float:
        """How much of it is done, 0 to 1."""
        step = 0.0
        if self.last is not None and self.last.kind == "step" and self.last.steps:
            step = self.last.step / self.last.steps
        return min(1.0, (self.done + step) / self.job.count)

    @property
    def left(self) -> float:
        """Seconds that it will still take, by those that it took."""
        part = self.part
        return (time.monotonic() - self.began) * (1 - part) / part if part else 0.0


class Board:
    """The work of every owner, and their options."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: dict[str, list[Work]] = {}
        self._options: dict[str, dict[str, object]] = {}

    def begin(self, owner: str, job: Job) -> Work:
        """Note that an owner waits for a job."""
        work = Work(job)
        with self._lock:
            self._work.setdefault(owner, []).append(work)
        return work

    def end(self, owner: str, work: Work) -> None:
        """Note that nobody waits for it any longer."""
        with self._lock:
            left = [each for each in self._work.get(owner, []) if each is not work]
            if left:
                self._work[owner] = left
            else:
                self._work.pop(owner, None)

    def work(self, owner: str) -> list[Work]:
        """What an owner waits for, oldest first."""
        with self._lock:
            return list(self._work.get(owner, []))

    def options(self, owner: str) -> dict[str, object]:
        """What an owner has set."""
        with self._lock:
            return dict(self._options.get(owner, {}))

    def set(self, owner: str, options: dict[str, object]) -> None:
        """Set some of an owner's options."""
        with self._lock:
            self._options[owner] = {**self._options.pop(owner, {}), **options}
            if len(self._options) > MOST_OWNERS:
                del self._options[next(iter(self._options))]
