"""`sfumato strip`: pictures on the way from one prompt, or one seed, to another."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import DeviceOption, ModelOption, sides
from sfumato.cli.generate import follow, new_path, slug, warnings_told

FORMATS = (".png", ".gif")


def strip(
    prompts: Annotated[list[str], typer.Argument(help="What the pictures show, from the first to the last.")],
    frames: Annotated[int, typer.Option(help="How many pictures, with those at the ends.")] = 8,
    seed: Annotated[
        list[int] | None, typer.Option(help="Repeatable: the noise turns from each to the next; else a random one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for the sheet, .png, or a moving picture, .gif.")
    ] = None,
    moving: Annotated[bool, typer.Option("--moving", help="A moving PNG in the place of a sheet.")] = False,
    keep: Annotated[Path | None, typer.Option(help="A folder for the single pictures, each with its recipe.")] = None,
    mix_how: Annotated[str, typer.Option(help="How prompts are mixed: spherical, linear or branches.")] = "spherical",
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How strongly the prompts steer, 1 is not.")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels, or one number for both.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the files.")] = False,
) -> None:
    """Make pictures that turn from one prompt into the next, from one seed into the next, or both."""
    from sfumato.errors import PromptError
    from sfumato.pipelines.strips import save_strip
    from sfumato.pipelines.strips import strip as requests_of
    from sfumato.pipelines.text_to_image import Pipeline, Result
    from sfumato.progress import Progress

    path = out or new_path(Path("pictures"), f"{slug(prompts[0])}-strip")
    if path.suffix.lower() not in FORMATS:
        raise PromptError(f"A strip is saved as {' or '.join(FORMATS)}, not {path.suffix or path.name}.")
    width, height = sides(size)
    settings = {"num_inference_steps": steps, "guidance_scale": guidance, "width": width, "height": height}
    with Progress(quiet) as progress, warnings_told():
        pipeline = Pipeline.load(model, device)
        requests = requests_of(pipeline, prompts, frames, seed or [secrets.randbits(32)], mix_how, **settings)
        made = [follow(pipeline, [request], [], progress) for request in requests]
        result = Result([one.pictures[0] for one in made], [one.recipes[0] for one in made])
        if keep is not None:
            result.save([keep / f"{number:03}.png" for number in range(len(made))])
        save_strip(result.pictures, path, result.recipes, moving=moving)
    print(path)
