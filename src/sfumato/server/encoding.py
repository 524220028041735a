"""Pictures as they are sent: the file as it is kept, or in another format, marked as it is; small ones as addresses."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from sfumato.pipelines.keepsake import read_recipe
from sfumato.pipelines.marks.credentials import Signer
from sfumato.pipelines.marks.writing import Marks, written

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""Formats of pictures that are sent, with their media types."""


def encoded(path: Path, format: str = "png", quality: int | None = None, signer: Signer | None = None) -> bytes:
    """A picture of the store in a format of `FORMATS`, with its recipe; in another format it is signed anew."""
    if format == "png":
        return path.read_bytes()
    with Image.open(path, formats=["PNG"]) as picture:
        return written(picture.convert("RGB"), read_recipe(path), format, Marks(signer=signer), _whole(quality))


def encode(picture: Image.Image, format: str = "png", quality: int | None = None) -> bytes:
    """A picture in memory, such as a preview, in a format of `FORMATS`; `quality` is 0 to 100, for JPEG and WebP."""
    return written(picture.convert("RGB"), {}, format, quality=_whole(quality))


def address(picture: Image.Image, side: int, quality: int = 80, *, lossless: bool = False) -> str:
    """A picture as a WebP of at most so many pixels a side, in the text of an address that holds it all."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, format="WEBP", quality=quality, lossless=lossless)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _whole(quality: int | None) -> int | None:
    return None if quality is None else max(1, quality)
