"""How often each owner may ask: a bucket of tokens that fills steadily."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MOST_OWNERS = 10_000  # remembered; those that have been quiet longest are forgotten, and begin with a full bucket


class Rates:
    """Buckets, one for each owner.

    Args:
        a_minute: tokens that flow in; a bucket holds as many.
        clock: seconds that only grow.
    """

    def __init__(self, a_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.a_minute, self._clock = a_minute, clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and when they were counted

    def take(self, owner: str) -> float:
        """Take a token: 0 if there is one, or the seconds until there will be."""
        with self._lock:
            now, rate = self._clock(), self.a_minute / 60
            tokens, counted = self._buckets.pop(owner, (float(self.a_minute), now))
            tokens = min(float(self.a_minute), tokens + (now - counted) * rate)
            wait = 0.0 if tokens >= 1 else (1 - tokens) / rate
            self._buckets[owner] = (tokens if wait else tokens - 1, now)
            if len(self._buckets) > MOST_OWNERS:
                del self._buckets[next(iter(self._buckets))]
            return wait
