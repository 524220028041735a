"""How fast a server works, measured while it does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

REMEMBERED = 512  # events


class Speed:
    """Events a second, over the last of them; time in which there was nothing to do does not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._worked = clock, 0.0
        self._since: float | None = None  # when the work that is under way began
        self._times: deque[float] = deque(maxlen=REMEMBERED)

    def working(self, now_working: bool) -> None:
        """Say when work begins and when there is no more."""
        now = self._clock()
        if self._since is not None:
            self._worked += now - self._since
        self._since = now if now_working else None

    def count(self) -> None:
        """Something was done."""
        self._times.append(self._now())

    @property
    def a_second(self) -> float | None:
        """How many events there are in a second of work; None where there were too few to tell."""
        if len(self._times) < 2:
            return None
        seconds = max(self._now(), self._times[-1]) - self._times[0]
        return (len(self._times) - 1) / seconds if seconds > 0 else None

    def _now(self) -> float:
        """Seconds of work until now."""
        return self._worked + (self._clock() - self._since if self._since is not None else 0.0)
