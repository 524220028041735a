"""One sample of a data source: a picture that can be drawn at any size, with its captions."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sfumato.data.pictures import PictureError, fit, open_picture

MAX_FILE = 2**30  # bytes; no still picture within the pixel limit is larger


class Picture(Protocol):
    """Anything that can be drawn as a square of pixels."""

    @property
    def name(self) -> str:
        """What the picture is called in reports."""

    def draw(self, size: int) -> UInt8[np.ndarray, "3 size size"]:
        """The picture as RGB bytes; raises PictureError when it cannot be drawn."""

    def stamp(self) -> str:
        """A text that changes when the picture may have changed."""


@dataclass(frozen=True)
class Where:
    """A picture in a file, or in a stretch of a larger file.

    Args:
        path: the file.
        name: what it is called in reports.
        offset: where the picture begins, in bytes.
        size: how many bytes it has; None for the rest of the file.
    """

    path: Path
    name: str
    offset: int = 0
    size: int | None = None

    def open(self) -> BinaryIO:
        """The encoded picture as an open file, to be closed by the caller. Raises OSError; PictureError above 1 GiB."""
        size = self.path.stat().st_size - self.offset if self.size is None else self.size
        if size > MAX_FILE:
            raise PictureError(f"too large: a file of {size:,} bytes, at most {MAX_FILE:,}")
        file = self.path.open("rb")
        if self.size is None and self.offset == 0:
            return file
        with file:
            file.seek(self.offset)
            return io.BytesIO(file.read(size))

    def draw(self, size: int) -> UInt8[np.ndarray, "3 size size"]:
        """The middle square, scaled to `size` pixels; raises PictureError with the reason when it cannot be opened."""
        return fit(self.image(at_least=2 * size), size)

    def image(self, at_least: int | None = None) -> Image.Image:
        """All of it, at its own size or as `open_picture` says of `at_least`; raises PictureError as `draw` does."""
        try:
            file = self.open()
        except OSError as error:
            raise PictureError(f"cannot be read: {error.strerror}") from error
        with file:
            return open_picture(file, at_least=at_least)

    def stamp(self) -> str:
        """Position, size and time of last change."""
        try:
            file = self.path.stat()
        except OSError:
            return "missing"
        return f"{file.st_size} {file.st_mtime_ns} {self.offset} {self.size}"


@dataclass(frozen=True)
class Entry:
    """A picture with one or more captions, one of which is chosen at each visit.

    Args:
        picture: how to draw it.
        captions: clean, non-empty texts; at least one.
        label: the class, when the source has classes.
    """

    picture: Picture
    captions: tuple[str, ...]
    label: str | None = None


def readable(name: str) -> str:
    """A file name as valid text, whatever bytes the file system holds."""
    return os.fsencode(name).decode("utf-8", errors="replace")
