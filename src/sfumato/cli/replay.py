"""`sfumato replay`: make a picture again from the recipe it carries."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.generate import DeviceOption, ModelOption


def replay(
    picture: Annotated[Path, typer.Argument(help="A PNG that sfumato made.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the new picture.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Make a picture again from its recipe, and say whether the pixels are the same."""
    from PIL import Image

    from sfumato.errors import PromptError
    from sfumato.pipelines.keepsake import read_recipe
    from sfumato.pipelines.text_to_image import Pipeline

    recipe = read_recipe(picture)
    if "grid_of" in recipe or "preview" in recipe:
        raise PromptError(f"{picture} is a sheet or a preview; replay one of the finished pictures.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were given when the picture was first made
        result = Pipeline.load(model or recipe.get("model"), device).replay(recipe)
    path = out or picture.with_name(f"{picture.stem}-again.png")
    result.save([path])
    with Image.open(picture) as before:
        same = before.convert("RGB").tobytes() == result.pictures[0].tobytes()
    print(path)
    print("the same pixels" if same else "not the same pixels: another device or version rounds in another way")
