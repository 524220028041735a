"""A watermark that nobody sees: some low frequencies of the whole picture are moved to a keyed lattice.

Dither modulation (Chen and Wornell 2001, "Quantization index modulation"), of the coefficients of a cosine transform of
the whole picture's lightness: those count half waves per side, so they stay what they are when the picture is resized.
What the picture shows is no noise to such a reader; what a crop takes away is, so a cropped picture has lost its mark.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfumato.errors import PromptError
from sfumato.pipelines.marks.codewords import PAYLOAD_BITS, code_of, threshold

PUBLIC = "sfumato"  # the key with which anybody can read the mark
SMALLEST = 64  # pixels a side that can be marked
BAND = 20  # half waves a side, and as many from top to bottom
LOWEST = 4  # of the two together; what is slower is seen
STEPS = {256: 0.14, 128: 0.22, SMALLEST: 0.41}  # of the lattice, in grey levels, for sides from these on
SCALES = tuple(
    step * 1.02**power for step in STEPS.values() for power in range(-11, 12)
)  # contrast may have changed by a fifth
LEAST_PSNR = 40.0  # dB
ROUNDS = 8  # in which what rounding and clipping undid is done again
LARGEST_READ = 1024  # pixels a side; larger pictures are read smaller
LIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue; ITU-R BT.601


class MarkWarning(UserWarning):
    """A picture that cannot bear a mark."""


@dataclass(frozen=True)
class Watermark:
    """What to hide in a picture.

    Attributes:
        payload: 0 to 2^32 - 1, of the writer's own meaning.
        key: who has it can read the mark, and take it out; `PUBLIC` is everybody's.
    """

    payload: int
    key: str = PUBLIC

    def __post_init__(self) -> None:
        """Raises PromptError for a payload that is not 32 bits, or an empty key."""
        if not isinstance(self.payload, int) or not 0 <= self.payload < 2**PAYLOAD_BITS:
            raise PromptError(f"A watermark's payload is a whole number from 0 to 2^{PAYLOAD_BITS} - 1.")
        if not isinstance(self.key, str) or not self.key:
            raise PromptError("A watermark's key is a text that is not empty.")


@dataclass(frozen=True)
class Found:
    """A watermark that was found: its payload, and how far above chance, in standard deviations."""

    payload: int
    agreement: float


def watermarked(picture: Image.Image, watermark: Watermark) -> Image.Image:
    """The picture, in RGB, with the watermark, at 40 dB of PSNR or above.

    Warns with MarkWarning when the picture cannot bear it: one with a side below `SMALLEST` stays as it is, and one of
    which much is pure black or white, with no room below or above, may hold a mark that cannot be read back.
    """
    if min(picture.size) < SMALLEST:
        warnings.warn(MarkWarning(f"A side below {SMALLEST} pixels is too short for a watermark."), stacklevel=2)
        return picture
    before = np.asarray(picture.convert("RGB"), np.float32)
    step = next(step for side, step in STEPS.items() if min(picture.size) >= side)
    seen = _coefficients(before @ LIGHTNESS)
    code = code_of(watermark.key, seen.size)
    place = code.dither + (1 - code.signs(watermark.payload)) / 4
    wanted = (np.rint(seen / step - place) + place) * step
    move, marked = np.zeros(before.shape[:2], np.float32), before
    for _ in range(ROUNDS):
        move += _pixels(wanted - _coefficients(marked @ LIGHTNESS), move.shape)
        again = np.clip(np.rint(before + move[..., None]), 0, 255)
        if psnr(before, again) < LEAST_PSNR:
            break
        marked = again
    done = Image.fromarray(marked.astype(np.uint8))
    found = find_watermark(done, watermark.key)
    if found is None or found.payload != watermark.payload:
        warnings.warn(MarkWarning("The picture is too plain for a watermark."), stacklevel=2)
    return done


def find_watermark(picture: Image.Image, key: str = PUBLIC) -> Found | None:
    """The watermark of a key in a picture of any size, or None; it finds one by chance at most once in a million."""
    if min(picture.size) < BAND:
        return None
    small = picture.convert("L")
    if max(small.size) > LARGEST_READ:
        small.thumbnail((LARGEST_READ, LARGEST_READ), Image.Resampling.BOX)
        if min(small.size) < BAND:
            return None
    seen = _coefficients(np.asarray(small, np.float32))
    code = code_of(key, seen.size)
    readings = [code.read(np.cos(2 * np.pi * (seen / scale - code.dither))) for scale in SCALES]
    payload, agreement = max((read for read in readings if read), key=lambda read: read[1], default=(0, 0.0))
    return Found(payload, agreement) if agreement >= threshold(len(SCALES)) else None


def psnr(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Peak signal to noise ratio of pixels from 0 to 255, in dB."""
    error = float(np.mean(np.square(before - after), dtype=np.float64))
    return 10 * np.log10(255**2 / error) if error else np.inf


def _coefficients(light: NDArray[np.float32]) -> NDArray[np.float64]:
    """The band of a picture's cosine transform, (n,); an amplitude in grey levels, whatever the picture's size."""
    height, width = light.shape
    band = _waves(height) @ light @ _waves(width).T / (height * width)
    return band[_chosen()].astype(np.float64)


def _pixels(band: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The picture, (h, w), whose coefficients these are."""
    height, width = shape
    whole = np.zeros((BAND, BAND), np.float32)
    whole[_chosen()] = band
    return np.asarray(_waves(height).T @ whole @ _waves(width), np.float32)


@lru_cache(8)
def _waves(side: int) -> NDArray[np.float32]:
    """The rows of a cosine transform (DCT-II), (20, side), each of mean square 1."""
    places = (np.arange(side) + 0.5) * np.pi / side
    waves = np.cos(np.arange(BAND)[:, None] * places) * np.sqrt(2)
    waves[0] = 1
    return waves.astype(np.float32)


@lru_cache(1)
def _chosen() -> tuple[NDArray[np.int64], ...]:
    down, across = np.indices((BAND, BAND))
    return np.nonzero(down + across >= LOWEST)
