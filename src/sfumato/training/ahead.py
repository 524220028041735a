"""Batches by their steps; beside a GPU the next few are made while it learns from the one before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from sfumato.training.stage import Batch

Key = tuple[int, int]  # a step, and which attempt it is


class Ahead:
    """Makes batches in threads, some steps ahead; a batch is a function of its step and attempt alone.

    Args:
        make: makes the batch of a step and an attempt.
        last: the step before which all are wanted.
        count: how many are made ahead; with 0 each is made when it is taken.
    """

    def __init__(self, make: Callable[[int, int], Batch], last: int, count: int) -> None:
        self.make, self.last, self.count = make, last, count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="batch") if count else None
        self._coming: dict[Key, Future[Batch]] = {}

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def take(self, step: int, attempt: int) -> Batch:
        """The batch of a step; those after it are begun. Raises what making it raised."""
        if self._pool is None:
            return self.make(step, attempt)
        wanted = [(each, attempt) for each in range(step, min(step + self.count + 1, self.last))]
        for key in self._coming.keys() - set(wanted):
            self._coming.pop(key).cancel()
        for key in wanted:
            if key not in self._coming:
                self._coming[key] = self._pool.submit(self.make, *key)
        return self._coming.pop((step, attempt)).result()
