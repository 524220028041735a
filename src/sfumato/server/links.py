"""Addresses of pictures that need no key: signed, and good for a while."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable


class Links:
    """Signs addresses with a secret of this process: when the server starts anew, all are void.

    Args:
        seconds: that an address holds.
        clock: seconds since 1970.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self.seconds, self._clock = seconds, clock
        self._secret = secrets.token_bytes(32)

    def path(self, job: str, picture: int, format: str = "png", quality: int | None = None) -> str:
        """The path of a job's picture in a format, with its signature."""
        until = int(self._clock() + self.seconds)
        how = "" if quality is None else f"&quality={quality}"
        return f"/pictures/{job}/{picture}.{format}?until={until}&signature={self._sign(job, picture, until)}{how}"

    def holds(self, job: str, picture: int, until: int, signature: str) -> bool:
        """Whether an address was signed here, and its time is not over."""
        right = self._sign(job, picture, until)
        return hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace")) and self._clock() <= until

    def _sign(self, job: str, picture: int, until: int) -> str:
        message = f"{job}/{picture}/{until}".encode("utf-8", "replace")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()
