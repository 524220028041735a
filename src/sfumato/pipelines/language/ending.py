"""Where a text ends: before the first stop word; what might be the beginning of one is held back meanwhile."""

from __future__ import annotations

from collections.abc import Sequence


class Ending:
    """Lets text through that surely stands before any stop word.

    Attributes:
        found: whether a stop word has come; nothing is let through after it.

    Example:
        >>> ending = Ending(["\\n\\n"])
        >>> [ending.add(piece) for piece in ("one\\n", "two", "\\n", "\\n", "three")]
        ['one', '\\ntwo', '', '', '']
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop, self._held, self.found = tuple(stop), "", False

    def add(self, piece: str) -> str:
        """Takes the next piece of text and gives what may be shown."""
        if self.found:
            return ""
        text = self._held + piece
        places = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        begun = max((_begun(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - begun :]
        return text[: len(text) - begun]

    def release(self) -> str:
        """Gives what was held back, where the text goes on or ends without a stop word."""
        held, self._held = self._held, ""
        return held


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of a text are the beginning of a stop word."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
