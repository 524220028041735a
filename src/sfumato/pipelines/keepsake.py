"""Pictures that know how they were made: PNG files with the whole recipe in their metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from sfumato.checkpoints.files import write
from sfumato.errors import PromptError

KEY = "sfumato"  # of the text chunk
LARGEST_RECIPE = 2**20  # characters


def save_picture(picture: Image.Image, path: Path, recipe: dict[str, Any]) -> None:
    """Write a PNG with its recipe as JSON in the text chunk "sfumato", all or nothing."""
    write(path, lambda temporary: picture.save(temporary, format="PNG", pnginfo=chunks_of(recipe)))


def chunks_of(recipe: dict[str, Any]) -> PngImagePlugin.PngInfo:
    """A recipe as a PNG carries it."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(KEY, json.dumps(recipe, ensure_ascii=False))
    return chunks


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe of a picture that `save_picture` wrote.

    Raises PromptError when there is no such file, or it carries no recipe.
    """
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            picture.load()
            text = picture.info.get(KEY)
    except FileNotFoundError:
        raise PromptError(f"There is no picture {path}.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PromptError(f"{path} is not a PNG picture: {error}") from error
    if not isinstance(text, str) or len(text) > LARGEST_RECIPE:
        raise PromptError(f"{path} carries no sfumato recipe: it was not made here, or the metadata were removed.")
    try:
        recipe = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"The recipe in {path} is damaged: {error}") from error
    if not isinstance(recipe, dict):
        raise PromptError(f"The recipe in {path} is damaged.")
    return recipe
