"""How a payload is written in many small signs, so that few of them wrong, or most of them weak, do no harm.

Five bytes, four of payload and one that checks them, choose a codeword each from 256 keyed random ones; the reader
takes the codeword that agrees best with what it sees (orthogonal signalling; Proakis, "Digital Communications", 4.5).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BYTES = 5  # of a message: the payload and its check
PAYLOAD_BITS = 8 * (BYTES - 1)
FALSE_ALARM = 1e-6  # at most, for a picture that is not marked


@dataclass(frozen=True)
class Code:
    """What a key makes of `signs` places.

    Attributes:
        dither: (n,) in [0, 1), by which each place's lattice is moved.
        words: (5, 256, n // 5) of -1 and 1, the codewords of each byte.
        order: (n,) which places each byte has, one byte after the other.
    """

    dither: NDArray[np.float64]
    words: NDArray[np.float64]
    order: NDArray[np.int64]

    def signs(self, payload: int) -> NDArray[np.float64]:
        """The signs, (n,) of -1, 1, and 0 at places that no byte has, that say a payload."""
        signs = np.zeros(len(self.dither))
        message = _message(payload)
        chosen = [self.words[place, byte] for place, byte in enumerate(message)]
        signs[self.order] = np.concatenate(chosen)
        return signs

    def read(self, seen: NDArray[np.float64]) -> tuple[int, float] | None:
        """The payload that (n,) values agree with best, and how well, in standard deviations of chance.

        None where the check byte says that it is no payload.
        """
        values = seen[self.order]
        length = float(np.linalg.norm(values))
        if length == 0:
            return None
        agreement = np.einsum("bwn,bn->bw", self.words, values.reshape(BYTES, -1))
        message = bytes(agreement.argmax(1).tolist())
        payload = int.from_bytes(message[:-1], "big")
        return (payload, float(agreement.max(1).sum()) / length) if _message(payload) == message else None


def threshold(readings: int) -> float:
    """The agreement above which chance is ruled out, in a picture that is read in so many ways.

    With random signs the agreement of one message is sub-Gaussian whatever the picture is, P(above t) <= exp(-t^2 / 2)
    (Hoeffding 1963, theorem 2), and 2^32 messages pass the check; their sum is held below `FALSE_ALARM`.
    """
    return math.sqrt(2 * (math.log(readings) + PAYLOAD_BITS * math.log(2) - math.log(FALSE_ALARM)))


@lru_cache(8)
def code_of(key: str, places: int) -> Code:
    """The code of a key; the same everywhere and always, since SHAKE-256 (FIPS 202) gives its numbers."""
    each = places // BYTES
    stream = hashlib.shake_256(b"sfumato watermark 1\0" + key.encode())
    numbers = np.frombuffer(stream.digest(8 * places + BYTES * 256 * each), np.uint8)
    dither = numbers[: 4 * places].view("<u4").astype(np.float64) / 2**32
    order = np.argsort(numbers[4 * places : 8 * places].view("<u4"), kind="stable")[: BYTES * each]
    words = (numbers[8 * places :] & 1).astype(np.float64).reshape(BYTES, 256, each) * 2 - 1
    return Code(dither, words, order)


def _message(payload: int) -> bytes:
    content = payload.to_bytes(BYTES - 1, "big")
    return content + bytes([_check(content)])


def _check(content: bytes) -> int:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1, begun with ones so that nothing but zeros does not pass."""
    rest = 0xFF
    for byte in content:
        rest ^= byte
        for _ in range(8):
            rest = (rest << 1 ^ 0x07) & 0xFF if rest & 0x80 else rest << 1
    return rest
