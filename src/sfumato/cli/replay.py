"""`sfumato replay`: make a picture again from the recipe it carries."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import DeviceOption, ModelOption
from sfumato.cli.generate import new_path


def replay(
    picture: Annotated[Path, typer.Argument(help="A PNG that sfumato made.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the new picture.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; else as it was made.")] = None,
) -> None:
    """Make a picture again from its recipe; exit code 1 when the pixels are not the same."""
    from PIL import Image

    from sfumato.devices import choose_dtype
    from sfumato.errors import PromptError
    from sfumato.pipelines.finding import find
    from sfumato.pipelines.keepsake import read_recipe, save_picture
    from sfumato.pipelines.loading import given_again
    from sfumato.pipelines.marks.recipes import PRIVATE
    from sfumato.pipelines.marks.watermark import watermarked
    from sfumato.pipelines.marks.writing import Marks, watermark_of
    from sfumato.pipelines.model import require_fingerprint
    from sfumato.pipelines.replaying import remade
    from sfumato.pipelines.text_to_image import Pipeline

    recipe = read_recipe(picture)
    with Image.open(picture) as saved:
        size, before = saved.size, saved.convert("RGB").tobytes()
    if "grid_of" in recipe or "preview" in recipe:
        raise PromptError(f"{picture} is a sheet or a preview; replay one of the finished pictures.")
    if PRIVATE in recipe:
        raise PromptError(f"{picture} was made in private: its words were kept out, so it cannot be made again.")
    if "restored" in recipe:
        raise PromptError(f"{picture} was restored from another picture; `sfumato restore` makes it again from that.")
    name, request = model or recipe.get("model"), recipe.get("request", {})
    precision = dtype or recipe.get("dtype")  # older recipes do not tell it
    asked = {"request", "strip", "upscaled"} & set(recipe)
    if not isinstance(name, str) or not isinstance(request, dict) or not isinstance(precision, str | None) or not asked:
        raise PromptError(f"The recipe in {picture} is damaged.")
    if any(request.get(side) not in (None, pixels) for side, pixels in zip(("width", "height"), size, strict=True)):
        raise PromptError(f"The recipe in {picture} is of a picture of another size.")
    beside = given_again(recipe)
    require_fingerprint(find(name, beside.get("variant"), fetch=model is not None), recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were given when the picture was first made
        again, told = remade(Pipeline.load(name, device, choose_dtype(precision), **beside), recipe)
    path = out or new_path(picture.parent, f"{picture.stem}-again")
    hidden = watermark_of(recipe)
    save_picture(again, path, told, Marks(watermark=hidden))
    print(path)
    same = again.crop((0, 0, *size)) if recipe.get("moving") else again  # the first of them
    same = watermarked(same, hidden) if hidden else same
    if before != same.tobytes():
        print("other pixels: another device or version rounds in another way")
        raise typer.Exit(1)
    print("the same pixels")
