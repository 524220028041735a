"""`sfumato restore`: a degraded picture given back by a model of cold diffusion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import DeviceOption
from sfumato.cli.generate import new_path


def restore(
    picture: Annotated[Path, typer.Argument(help="A degraded picture.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The folder of a model of cold diffusion.")],
    severity: Annotated[float, typer.Option(help="How degraded it is, above 0, up to 1.")] = 0.5,
    prompt: Annotated[str, typer.Option(help="What it shows, where that is known.")] = "",
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps back; 1 takes the first estimate.")] = 1,
    solver: Annotated[str, typer.Option(help="naive or tacos.")] = "tacos",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the restored picture.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Give a degraded picture back: what blur, downsampling, JPEG, text or a fade took away is guessed."""
    from sfumato.pipelines.keepsake import save_picture
    from sfumato.pipelines.restoration import restored

    made, recipe = restored(picture, model, severity, prompt, steps, solver, device)
    path = out or new_path(picture.parent, f"{picture.stem}-restored")
    save_picture(made, path, recipe)
    print(path)
