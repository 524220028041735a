"""Pictures that know how they were made: files with the whole recipe in their metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from sfumato.checkpoints.files import write
from sfumato.errors import PromptError
from sfumato.pipelines.marks.reading import metadata_of
from sfumato.pipelines.marks.recipes import KEY, LARGEST_RECIPE, parsed
from sfumato.pipelines.marks.writing import PLAIN, Marks, format_of, written

__all__ = ["KEY", "LARGEST_RECIPE", "read_recipe", "save_picture"]


def save_picture(picture: Image.Image, path: Path, recipe: dict[str, Any], marks: Marks = PLAIN) -> None:
    """Write a picture with its recipe and marks, all or nothing: as JPEG or WebP where its name says so, else PNG."""
    content = written(picture, recipe, format_of(path.suffix), marks)
    write(path, lambda temporary: _fill(temporary, content))


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe of a picture that `save_picture` wrote.

    Raises PromptError when there is no such file, or it carries no recipe.
    """
    try:
        with Image.open(path, formats=["PNG", "JPEG", "WEBP"]) as picture:
            picture.load()
            text = metadata_of(picture).recipe
    except FileNotFoundError:
        raise PromptError(f"There is no picture {path}.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PromptError(f"{path} is not a PNG, JPEG or WebP picture: {error}") from error
    if text is None or len(text) > LARGEST_RECIPE:
        raise PromptError(f"{path} carries no sfumato recipe: it was not made here, or the metadata were removed.")
    try:
        return parsed(text)
    except PromptError as error:
        raise PromptError(f"{path}: {error}") from error


def _fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)
