"""What a picture from anywhere says of its origin, and whether that holds together."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sfumato.data.pictures import FORMATS, PictureError, open_picture
from sfumato.errors import PromptError, SfumatoError
from sfumato.pipelines.finding import find
from sfumato.pipelines.loading import given_again
from sfumato.pipelines.marks.credentials import MEDIA_TYPES, credentials_in, may_have_credentials
from sfumato.pipelines.marks.reading import Metadata, metadata_of
from sfumato.pipelines.marks.recipes import PRIVATE, parsed
from sfumato.pipelines.marks.sources import GENERATED, term
from sfumato.pipelines.marks.watermark import PUBLIC, Found, find_watermark
from sfumato.pipelines.marks.writing import watermark_of
from sfumato.pipelines.marks.xmp import of_gif
from sfumato.pipelines.model import require_fingerprint

SHOWN = 100  # characters of a text from a file, in messages


@dataclass(frozen=True)
class Verdict:
    """What was found in a picture.

    Attributes:
        marks: what says that a generative model made it, or had a part in it.
        notes: what else there is to know.
        faults: what is broken, or contradicts something else in the file.
        recipe: what it carries, or None.
    """

    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    recipe: dict[str, Any] | None = None

    def __add__(self, other: Verdict) -> Verdict:
        recipe = other.recipe if self.recipe is None else self.recipe
        return Verdict(self.marks + other.marks, self.notes + other.notes, self.faults + other.faults, recipe)

    @property
    def exit_code(self) -> int:
        """0: marked, and nothing contradicts; 1: no mark; 2: broken or tampered with."""
        return 2 if self.faults else 0 if self.marks else 1


def verify(content: bytes, key: str = PUBLIC, trusted: str = "") -> Verdict:
    """Look for every mark in a picture's bytes, from anywhere: whatever they are, this answers.

    Args:
        content: the file.
        key: of the watermark.
        trusted: certificates in PEM, of the authorities whose signers are trusted.
    """
    try:
        hidden = find_watermark(open_picture(content), key)  # whose pixels are let go before it is opened again
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            opened.load()
            if opened.format == "GIF" and (told_in_gif := of_gif(content)):
                opened.info["xmp"] = told_in_gif  # which Pillow passes over
            size, format, metadata = opened.size, str(opened.format).lower(), metadata_of(opened)
    except PictureError as error:
        return Verdict(faults=(f"this is no whole picture: {error}",))
    except Exception as error:  # Pillow raises nearly every kind of exception on broken metadata
        return Verdict(faults=(f"its metadata cannot be read: {shown(str(error))}",))
    told = _of_metadata(metadata) + _of_recipe(metadata, size)
    return told + _of_pixels(hidden, told.recipe or {}) + _of_credentials(content, format, trusted)


def replayable(recipe: Mapping[str, Any], model: str | None = None) -> str:
    """Why a picture cannot be made again from its recipe here; empty when it can. Nothing is fetched for it."""
    if PRIVATE in recipe:
        return "it was made in private: its words were kept out"
    if "grid_of" in recipe or "preview" in recipe or "restored" in recipe:
        return "it is a sheet, a preview or a restored picture"
    name, asked = model or recipe.get("model"), {"request": dict, "strip": list, "upscaled": dict}
    if not isinstance(name, str) or not any(isinstance(recipe.get(key), kind) for key, kind in asked.items()):
        return "its recipe does not tell the model and what was asked for"
    try:
        require_fingerprint(find(name, given_again(recipe).get("variant"), fetch=False), recipe)
    except (SfumatoError, OSError, ValueError) as error:
        return shown(str(error), 500)
    return ""


def shown(text: str, most: int = SHOWN) -> str:
    """A text from a file as it may be printed: short, in one line, without what would steer a terminal."""
    plain = "".join(letter if letter.isprintable() else "·" for letter in text[: most + 1])
    return plain if len(plain) <= most else f"{plain[:most]}…"


def _of_metadata(metadata: Metadata) -> Verdict:
    marks, notes, faults = [], [], []
    if metadata.broken:
        notes.append(f"its XMP cannot be read: {shown(metadata.broken)}")
    sources = [term(source) for source in metadata.xmp.sources]
    generated = [source for source in sources if source in GENERATED]
    others = [source for source in sources if source not in GENERATED]
    if generated:
        marks.append(f"XMP: digital source type {generated[0]}")
    elif others:
        notes.append(f"XMP: digital source type {shown(others[0])}, which no generative model had a part in")
    if others and (generated or metadata.recipe is not None):
        faults.append(f"its XMP calls it {shown(others[0])}, but other metadata call it generated")
    software = metadata.software or metadata.xmp.tool
    if software:
        notes.append(f"software: {shown(software)}")
    return Verdict(tuple(marks), tuple(notes), tuple(faults))


def _of_recipe(metadata: Metadata, size: tuple[int, int]) -> Verdict:
    if metadata.recipe is None:
        return Verdict()
    try:
        recipe = parsed(metadata.recipe)
    except PromptError as error:
        return Verdict(faults=(shown(str(error)),))
    request = recipe.get("request")
    told = request if isinstance(request, dict) else {}
    whole = "grid_of" not in recipe and "preview" not in recipe
    sides = zip((told.get("width"), told.get("height")), size, strict=True)
    same = all(side in (None, pixels) for side, pixels in sides)
    faults = () if same or not whole else ("the recipe is of a picture of another size",)
    return Verdict(marks=("recipe of sfumato",), faults=faults, recipe=recipe)


def _of_pixels(found: Found | None, recipe: Mapping[str, Any]) -> Verdict:
    told = watermark_of(recipe)
    if found is None:
        return Verdict(notes=("the recipe tells of a watermark, but none is found",) if told else ())
    marks = (f"watermark {found.payload:08x}",)
    if told is not None and told.payload != found.payload:
        return Verdict(marks, faults=(f"the recipe tells of another watermark, {told.payload:08x}",))
    return Verdict(marks)


def _of_credentials(content: bytes, format: str, trusted: str) -> Verdict:
    if format not in MEDIA_TYPES or not may_have_credentials(content):
        return Verdict()
    try:
        found = credentials_in(content, format, trusted)
    except PromptError as error:
        return Verdict(notes=(f"it may carry content credentials, which were not looked at: {error}",))
    if found is None:
        return Verdict()
    if found.state == "invalid":
        return Verdict(faults=(f"its content credentials are invalid: {shown(', '.join(found.problems))}",))
    if found.state == "elsewhere":
        return Verdict(notes=("its content credentials lie elsewhere; they were not fetched",))
    signer = f"content credentials, whole, by {shown(found.signer)}, who is {found.state}"
    generated = [source for source in map(term, found.sources) if source in GENERATED]
    if not generated:
        return Verdict(notes=(signer,))
    return Verdict(marks=(f"{signer}: {generated[0]}",))
