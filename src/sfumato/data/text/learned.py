"""Which texts a language model learned from, so that it can tell what is new: a hash of the tokens of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt64

from sfumato.data.text.store import Tokens
from sfumato.errors import CheckpointError

FILE = "learned.npy"  # of the part `language_model` of a model
MOST = 1_000_000  # texts that are remembered, the first ones


class Learned:
    """A set of texts that forgets what they say; one in 10^13 of other texts is taken for one of a million of them.

    Args:
        hashes: of the texts, in any order.
    """

    def __init__(self, hashes: UInt64[np.ndarray, " n"] | None = None) -> None:
        self.hashes = np.unique(np.empty(0, np.uint64) if hashes is None else hashes)

    @classmethod
    def of(cls, tokens: Tokens, end: int | None, longest: int) -> Learned:
        """The texts that end with the token `end` and have `longest` tokens at most; none where there is no end."""
        if end is None:
            return cls()
        ends = np.flatnonzero(tokens == end)[:MOST]
        starts = np.concatenate([[0], ends + 1])[: len(ends)]  # what follows the last end is no whole text
        short = [(start, stop) for start, stop in zip(starts, ends, strict=True) if stop - start <= longest]
        return cls(np.array([_hash(tokens[start:stop]) for start, stop in short], np.uint64))

    @classmethod
    def load(cls, folder: Path) -> Learned:
        """What `save` wrote there, or none; CheckpointError where it is damaged."""
        path = folder / FILE
        if not path.is_file():
            return cls()
        try:
            if path.stat().st_size > 8 * MOST + 4096:
                raise ValueError("too large")
            hashes = np.load(path, allow_pickle=False)
            if hashes.dtype != np.uint64 or hashes.ndim != 1:
                raise ValueError("not a row of hashes")
        except (OSError, ValueError, EOFError) as error:
            raise CheckpointError(f"{path} is damaged ({error}); delete it, and no text counts as known.") from None
        return cls(hashes)

    def save(self, folder: Path) -> None:
        """Write them into a folder that is there, unless there are none."""
        if len(self.hashes):
            np.save(folder / FILE, self.hashes, allow_pickle=False)

    def __contains__(self, ids: Sequence[int]) -> bool:
        """Whether a text of these tokens, without its end, is one of them."""
        hashed = _hash(np.asarray(ids))
        place = int(np.searchsorted(self.hashes, hashed))
        return place < len(self.hashes) and bool(self.hashes[place] == hashed)


def _hash(ids: np.ndarray) -> np.uint64:
    told = hashlib.blake2b(ids.astype("<u4").tobytes(), digest_size=8).digest()
    return np.frombuffer(told, "<u8")[0]
