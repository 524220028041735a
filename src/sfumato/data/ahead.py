"""Work on many things by a few threads, a little ahead of whoever takes the results."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AHEAD = 4  # results for each thread that wait at most

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], things: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
    """Each thing with what the work gives, in order; a few ahead of the consumer at most, so that memory is bounded.

    What the work raises is raised here. Whoever stops early leaves no work behind.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ahead")
    try:
        ahead = deque((thing, pool.submit(work, thing)) for thing in things[: AHEAD * workers])
        for index in range(len(things)):
            thing, future = ahead.popleft()
            yield thing, future.result()
            if index + AHEAD * workers < len(things):
                thing = things[index + AHEAD * workers]
                ahead.append((thing, pool.submit(work, thing)))
    finally:
        pool.shutdown(cancel_futures=True)
