"""Finished pictures as the bytes that are sent: the file as it is kept, or in another format."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""Formats of pictures that are sent, with their media types."""

QUALITY = 95  # of JPEG and WebP, where nothing else is asked for


def encoded(path: Path, format: str = "png", quality: int | None = None) -> bytes:
    """A picture of the store in a format of `FORMATS`; a PNG keeps its recipe."""
    if format == "png":
        return path.read_bytes()
    with Image.open(path, formats=["PNG"]) as picture:
        return encode(picture, format, quality)


def encode(picture: Image.Image, format: str = "png", quality: int | None = None) -> bytes:
    """A picture in memory in a format of `FORMATS`; `quality` is 0 to 100, for JPEG and WebP."""
    file = io.BytesIO()
    settings = {} if format == "png" else {"quality": max(1, QUALITY if quality is None else quality)}
    picture.convert("RGB").save(file, format=format.upper(), **settings)
    return file.getvalue()
