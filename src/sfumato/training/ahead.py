"""Batches by their steps; beside a GPU the next few are made while it learns from the one before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from sfumato.training.stage import Batch

Key = tuple[int, int]  # a step, and which attempt it is


class Ahead:
    """Makes batches in threads, some steps ahead; a batch is a function of its step and attempt alone.

    The first is made alone and nothing beside it: what all of them share is there when the threads begin, and the
    networks are compiled by then. Each thread has a stream of its own on a GPU, so that its copies wait for no step of
    the training.

    Args:
        make: makes the batch of a step and an attempt.
        last: the step before which all are wanted.
        count: how many are made ahead; with 0 each is made when it is taken.
        device: where they are made.
    """

    def __init__(
        self, make: Callable[[int, int], Batch], last: int, count: int, device: torch.device | str = "cpu"
    ) -> None:
        self.make, self.last, self.count, self.device = make, last, count, torch.device(device)
        self._pool = ThreadPoolExecutor(count, "batch", self._begin) if count else None
        self._coming: dict[Key, Future[Batch]] = {}
        self._alone = True

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
        if self._alone:
            self._alone = False
            return self._made(step, attempt)
        wanted = [(each, attempt) for each in range(step, min(step + self.count + 1, self.last))]
        for key in self._coming.keys() - set(wanted):
            self._coming.pop(key).cancel()
        for key in wanted:
            if key not in self._coming:
                self._coming[key] = self._pool.submit(self._made, *key)
        return self._handed_over(self._coming.pop((step, attempt)).result())

    def _begin(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.cuda.set_stream(torch.cuda.Stream(self.device))

    def _made(self, step: int, attempt: int) -> Batch:
        batch = self.make(step, attempt)
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        return batch

    def _handed_over(self, batch: Batch) -> Batch:
        """The same tensors; their memory is not given to another batch before the training has read them."""
        if self.device.type == "cuda":
            for tensor in batch:
                tensor.record_stream(torch.cuda.current_stream(self.device))
        return batch
