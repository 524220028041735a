"""`sfumato vary`: pictures like one that is there."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.asked import DeviceOption, ModelOption
from sfumato.cli.generate import follow, new_path, warnings_told

if TYPE_CHECKING:
    from sfumato.pipelines.text_to_image import Pipeline


def vary(
    picture: Annotated[Path, typer.Argument(help="A picture: one that sfumato made, or any other.")],
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=1000, help="How many.")] = 4,
    amount: Annotated[float, typer.Option(help="How much they differ from it, above 0, up to 1.")] = 0.3,
    prompt: Annotated[str | None, typer.Option(help="What they show; else what the picture's recipe says.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="An IP-Adapter: keeps what CLIP sees in the picture, whoever made it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first; the next ones have seed + 1, ...")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for them; else the picture's own.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the files.")] = False,
) -> None:
    """Make pictures like another: of one made here by turning its noise, of others by painting over it."""
    from sfumato.pipelines.varying import variations
    from sfumato.progress import Progress

    seed = secrets.randbits(32) if seed is None else seed
    settings = {name: value for name, value in (("prompt", prompt), ("adapter", adapter)) if value is not None}
    with Progress(quiet) as progress, warnings_told():
        pipeline = _pipeline(picture, model, device)
        requests = variations(pipeline, picture, number, amount, seed, **settings)
        folder = out or picture.parent
        paths = [new_path(folder, f"{picture.stem}-varied-{seed + count}") for count in range(number)]
        for request, path in zip(requests, paths, strict=True):
            follow(pipeline, [request], [], progress).save([path])
            print(path, flush=True)
        how = "its noise turned" if requests[0].variation else "seen by CLIP" if adapter else "painted over"
        progress.say(f"{number} variation(s) by {amount:g}, {how}, seed {seed}")


def _pipeline(picture: Path, model: str | None, device: str) -> Pipeline:
    """The model that is named, or else the one that made the picture, with all that was given beside it."""
    from sfumato.devices import choose_dtype
    from sfumato.errors import PromptError
    from sfumato.pipelines.keepsake import read_recipe
    from sfumato.pipelines.loading import given_again
    from sfumato.pipelines.text_to_image import Pipeline

    try:
        recipe = read_recipe(picture) if model is None else {}
    except PromptError:
        recipe = {}
    if not isinstance(recipe.get("model"), str):
        return Pipeline.load(model, device)
    return Pipeline.load(recipe["model"], device, choose_dtype(recipe.get("dtype")), **given_again(recipe))
