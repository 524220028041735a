"""Events from the threads that make pictures to those who watch, who may be slow."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from sfumato.server.job import FINISHED, Event


class Follower:
    """What one reader has not seen yet: of each picture's steps the newest alone, of all else every event.

    So it holds few events however slow the reader is, and whoever writes never waits.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._news, self._lock = loop, asyncio.Event(), threading.Lock()
        self._unseen: dict[tuple[str, int], Event] = {}
        self._ended = False

    def put(self, event: Event) -> None:
        """Tell an event, from any thread."""
        with self._lock:
            self._unseen.pop((event.kind, event.picture), None)
            if event.kind == "picture":
                self._unseen.pop(("step", event.picture), None)
            self._unseen[event.kind, event.picture] = event
        self._wake()

    def end(self) -> None:
        """Say that nothing more will come, from any thread."""
        self._ended = True
        self._wake()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Events as they come, until the job is finished or `end` was called."""
        while True:
            await self._news.wait()
            self._news.clear()
            ended = self._ended
            with self._lock:
                unseen, self._unseen = list(self._unseen.values()), {}
            for event in unseen:
                yield event
                if event.kind in FINISHED:
                    return
            if ended:
                return

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop of the reader is closed, and the reader gone
            self._ended = True


class Followers:
    """Those who watch jobs. Only `following` belongs to their event loops; all else may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: defaultdict[str, set[Follower]] = defaultdict(set)

    @contextmanager
    def following(self, job: str) -> Iterator[Follower]:
        """A follower of a job's events from now on."""
        follower = Follower(asyncio.get_running_loop())
        with self._lock:
            self._of[job].add(follower)
        try:
            yield follower
        finally:
            with self._lock:
                self._of[job].discard(follower)
                if not self._of[job]:
                    del self._of[job]

    def tell(self, event: Event) -> None:
        """An event to all who follow its job."""
        for follower in self.of(event.job):
            follower.put(event)

    def of(self, job: str) -> list[Follower]:
        """Those who follow a job."""
        with self._lock:
            return list(self._of.get(job, ()))

    def end(self) -> None:
        """Tell everyone that nothing more will come."""
        with self._lock:
            every = [follower for some in self._of.values() for follower in some]
        for follower in every:
            follower.end()
