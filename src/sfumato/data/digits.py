"""Handwritten digits that come with the library: 1,797 pictures from the UCI Optical Recognition data set (CC BY 4.0).

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49; the test half, as scikit-learn's `load_digits` gives it.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sfumato.data.entries import Entry
from sfumato.data.words import article
from sfumato.errors import DataError

LICENCE = "CC BY 4.0 (UCI Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998)"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INK = 16  # the largest value in the data: full ink
TEST_SHARE = 5  # one in five


@dataclass(frozen=True)
class Drawing:
    """An 8 x 8 drawing: ink 0..16 as 64 bytes, row by row."""

    name: str
    ink: bytes

    def draw(self, size: int) -> UInt8[np.ndarray, "3 size size"]:
        """Dark ink on white paper, smoothly enlarged (bicubic) to `size` pixels a side."""
        ink = np.frombuffer(self.ink, np.uint8).reshape(8, 8).astype(np.float32)
        paper = Image.fromarray(255 * (1 - ink / INK)).resize((size, size), Image.Resampling.BICUBIC)
        grey = np.round(np.asarray(paper)).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[None], 3, axis=0)

    def stamp(self) -> str:
        """The drawing itself."""
        return self.ink.hex()


def digits(split: str = "train") -> list[Entry]:
    """The digits with captions in words, such as "a handwritten seven" or "the digit 7".

    Args:
        split: "train" (1,442 pictures), "test" (355) or "all". Within each class, pictures are put in the order of
            the SHA-256 of their number; the first fifth is the test part. It never changes.

    Returns:
        Samples in the order of the original data, labelled "zero" ... "nine".

    Raises:
        DataError: there is no such split.
    """
    if split not in ("train", "test", "all"):
        raise DataError(f"the digits have the splits train, test and all, not {split!r}")
    pictures, labels = _data()
    test = _test_part(labels)
    return [
        Entry(Drawing(f"digits/{index:04}", pictures[index].tobytes()), captions(int(digit)), WORDS[digit])
        for index, digit in enumerate(labels)
        if split == "all" or (index in test) == (split == "test")
    ]


def captions(digit: int) -> tuple[str, ...]:
    """All the ways in which the captions name a digit 0..9."""
    return tuple(
        caption
        for name in (WORDS[digit], str(digit))
        for caption in (
            name,
            f"{article(name)} {name}",
            f"the digit {name}",
            f"the number {name}",
            f"a handwritten {name}",
            f"a handwritten digit {name}",
            f"handwritten digit {name}",
            f"a drawing of {article(name)} {name}",
            f"a picture of the digit {name}",
            f"a picture of the number {name}",
        )
    )


@cache
def _data() -> tuple[np.ndarray, np.ndarray]:
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        return file["pictures"], file["labels"]


def _test_part(labels: np.ndarray) -> set[int]:
    test: set[int] = set()
    for digit in range(10):
        members = sorted(np.flatnonzero(labels == digit).tolist(), key=lambda i: hashlib.sha256(b"%d" % i).digest())
        test.update(members[: len(members) // TEST_SHARE])
    return test
