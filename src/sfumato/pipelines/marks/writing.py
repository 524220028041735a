"""The one place where pictures become files: encoded, with their recipe, and marked as made by a machine."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from sfumato import __version__
from sfumato.errors import PromptError
from sfumato.pipelines.marks.credentials import Signer, signed
from sfumato.pipelines.marks.recipes import KEY, without_words
from sfumato.pipelines.marks.sources import source_of
from sfumato.pipelines.marks.watermark import PUBLIC, Watermark, watermarked
from sfumato.pipelines.marks.xmp import in_gif, packet

FORMATS = ("png", "jpeg", "webp")
SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
QUALITY = 95  # of JPEG and WebP, where nothing else is asked for
SOFTWARE = f"sfumato {__version__}"
MOST_IN_JPEG = 65_502  # bytes of XMP that a segment holds


@dataclass(frozen=True)
class Marks:
    """What a picture says of itself besides that a machine made it, which it always says.

    Attributes:
        private: leave all texts out of the recipe; the picture cannot be made again from it.
        watermark: what to hide in the pixels.
        signer: who signs content credentials.
    """

    private: bool = False
    watermark: Watermark | None = None
    signer: Signer | None = None


PLAIN = Marks()


def written(
    picture: Image.Image,
    recipe: Mapping[str, Any],
    format: str = "png",
    marks: Marks = PLAIN,
    quality: int | None = None,
) -> bytes:
    """A picture as a file that says it was made by a machine, and how.

    Args:
        picture: of any mode that the format takes, else it becomes RGB.
        recipe: as JSON values. A JPEG, whose metadata are short, goes without one of more than some 60,000 characters.
        format: a name in `FORMATS`.
        marks: what else it says of itself.
        quality: 1 to 100, of JPEG and WebP.

    Returns:
        The file. The same picture, recipe and marks give the same bytes, unless it is signed.

    Raises:
        PromptError: the format is not known, or the picture cannot be signed.
    """
    if format not in FORMATS:
        raise PromptError(f"Pictures are written as {', '.join(FORMATS)}, not {format!r:.50}.")
    told = without_words(recipe) if marks.private else dict(recipe)
    if marks.watermark:
        picture = watermarked(picture, marks.watermark)
        told["watermark"] = f"{marks.watermark.payload:08x}" if marks.watermark.key == PUBLIC else "of a secret key"
    content = _encoded(picture, told, format, QUALITY if quality is None else quality)
    return signed(content, format, source_of(told), marks.signer) if marks.signer else content


def watermark_of(recipe: Mapping[str, Any]) -> Watermark | None:
    """The watermark that a recipe tells of, or None; those of secret keys are not told."""
    told = recipe.get("watermark")
    return Watermark(int(told, 16)) if isinstance(told, str) and re.fullmatch("[0-9a-f]{8}", told) else None


def format_of(suffix: str) -> str:
    """The format that a file's suffix names: PNG unless it says JPEG or WebP."""
    return SUFFIXES.get(suffix.lower(), "png")


def chunks_of(recipe: Mapping[str, Any]) -> PngImagePlugin.PngInfo:
    """A recipe, and that a machine made the picture, as a PNG carries them."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", SOFTWARE)
    chunks.add_itxt("XML:com.adobe.xmp", packet(source_of(recipe), SOFTWARE).decode())
    text = json.dumps(recipe, ensure_ascii=False)
    chunks.add_itxt(KEY, text.encode(errors="backslashreplace").decode())  # as JSON writes the bytes of odd file names
    return chunks


def marked_gif(content: bytes, recipe: Mapping[str, Any]) -> bytes:
    """The file of a GIF that says that a machine made it; it has no room for the recipe."""
    return in_gif(content, packet(source_of(recipe), SOFTWARE))


def _encoded(picture: Image.Image, recipe: Mapping[str, Any], format: str, quality: int) -> bytes:
    file, source = io.BytesIO(), source_of(recipe)
    if format == "png":
        picture.save(file, format="PNG", pnginfo=chunks_of(recipe))
        return file.getvalue()
    told = packet(source, SOFTWARE, json.dumps(recipe))
    if format == "jpeg" and len(told) > MOST_IN_JPEG:
        told = packet(source, SOFTWARE)
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = SOFTWARE
    picture.convert("RGB").save(file, format=format.upper(), quality=quality, exif=exif, xmp=told)
    return file.getvalue()
