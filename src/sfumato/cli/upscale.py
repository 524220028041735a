"""`sfumato upscale`: any picture made larger."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import DeviceOption, DtypeOption, ModelOption
from sfumato.cli.generate import new_path, warnings_told


def upscale(
    picture: Annotated[Path, typer.Argument(help="Any picture.")],
    factor: Annotated[float, typer.Option(help="How many times larger, above 1, up to 16.")] = 4.0,
    prompt: Annotated[str, typer.Option(help="What it shows, for models that listen.")] = "",
    seed: Annotated[int, typer.Option(help="Of the detail that is added.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Of the denoiser or upsampler; else the usual number.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the larger picture.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the file.")] = False,
) -> None:
    """Make a picture larger, piece by piece, by a model's upsampler or by a model that enlarges."""
    from sfumato.devices import choose_dtype
    from sfumato.pipelines.given import Given
    from sfumato.pipelines.keepsake import save_picture
    from sfumato.pipelines.text_to_image import Pipeline
    from sfumato.pipelines.upscaling import LANCZOS, Upscaling, upscaled

    asked = Upscaling(Given.of(picture), factor, prompt, seed, steps)
    with warnings_told():
        pipeline = Pipeline.load(model, device, choose_dtype(dtype))
        made, recipe = upscaled(pipeline, asked)
    path = out or new_path(picture.parent, f"{picture.stem}-{made.width}x{made.height}")
    save_picture(made, path, recipe)
    print(path)
    by = recipe["upscaled"]["by"]
    if by == LANCZOS:
        print(f"{pipeline.model.name} has no upsampler: interpolated (Lanczos), no detail was added", file=sys.stderr)
    elif not quiet:
        print(f"{made.width} x {made.height} pixels by {pipeline.model.name}, {by}", file=sys.stderr)
