"""Each picture looked at once: what is needed to judge it, and it among the others, without keeping it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sfumato.data.entries import Entry, Where
from sfumato.data.pictures import PictureError, fit
from sfumato.evaluation.data_check.blur import blur
from sfumato.evaluation.data_check.overlays import Mark, edges_of

DRAWN = 128  # pixels a side of what has no size of its own
SMALL = 16  # pixels a side of what copies are found by
PLAIN_SIDE = 64  # pixels a side at which a plain picture is told
ONE_COLOUR = 10  # levels from the commonest colour that are still it


@dataclass(frozen=True)
class Look:
    """What is kept of a picture.

    Attributes:
        size: width and height in pixels; None for what is drawn at any size.
        digest: equal for equal pixels.
        small: 16 x 16 pixels of all of it.
        plain: which share of it is of one colour.
        blur: see `blur`; None for what is drawn at any size.
        marked: how well it agrees with the mark that it agrees with most, 0 without marks.
        seen: the square that a network sees, if asked for.
    """

    size: tuple[int, int] | None
    digest: bytes
    small: UInt8[np.ndarray, "16 16 3"]
    plain: float
    blur: float | None
    marked: float
    seen: UInt8[np.ndarray, "3 side side"] | None

    def without_square(self) -> Look:
        """The same without what a network sees, which is large."""
        return replace(self, seen=None)


def look(entry: Entry, marks: Sequence[Mark] = (), side: int | None = None) -> Look | PictureError:
    """Look at a picture; the reason when that cannot be done. `side` is that of the square to keep for a network."""
    try:
        picture = opened(entry)
    except PictureError as error:
        return error
    own = isinstance(entry.picture, Where)
    edges = edges_of(picture) if marks else None
    return Look(
        size=picture.size if own else None,
        digest=hashlib.blake2b(picture.tobytes() + repr(picture.size).encode(), digest_size=16).digest(),
        small=np.asarray(picture.resize((SMALL, SMALL), Image.Resampling.BILINEAR)),
        plain=share_of_one_colour(picture),
        blur=blur(picture) if own else None,
        marked=max((mark.agreement(edges) for mark in marks), default=0.0) if edges is not None else 0.0,
        seen=fit(picture, side) if side else None,
    )


def square(entry: Entry, side: int) -> UInt8[np.ndarray, "3 side side"] | PictureError:
    """The middle square of a picture, as a network sees it; the reason when it cannot be opened."""
    try:
        return fit(opened(entry), side)
    except PictureError as error:
        return error


def opened(entry: Entry) -> Image.Image:
    """All of a picture, as it is seen; raises PictureError."""
    if isinstance(entry.picture, Where):
        return entry.picture.image()
    return Image.fromarray(entry.picture.draw(DRAWN).transpose(1, 2, 0))


def share_of_one_colour(picture: Image.Image) -> float:
    """How much of a picture is of its middle colour, or hardly another."""
    small = np.asarray(picture.resize((PLAIN_SIDE, PLAIN_SIDE), Image.Resampling.BOX, reducing_gap=2.0), np.int16)
    away = np.abs(small - np.median(small, axis=(0, 1))).max(-1)
    return float((away <= ONE_COLOUR).mean())
