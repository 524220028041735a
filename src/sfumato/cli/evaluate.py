"""`sfumato evaluate`: is a model good?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.generate import DeviceOption


def evaluate(
    model: Annotated[str, typer.Argument(help="A model folder, a single file, an id on the hub, or an embedded name.")],
    scenes: Annotated[
        bool, typer.Option("--scenes", help="Instead: composed scenes whose contents are known, judged exactly.")
    ] = False,
    count: Annotated[int | None, typer.Option("-n", "--count", min=2, help="How many pictures are made.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first picture; the next ones have seed + 1, ...")] = 0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; else the model's own.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How strongly the prompt steers; else the model's.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for metrics.json and pictures; else MODEL-evaluation."),
    ] = None,
    device: DeviceOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Measure a model: its pictures for the captions of data, beside the real ones."""
    if scenes:
        from sfumato.evaluation.scene_benchmark import run

        run(model, count=count, seed=seed, steps=steps, guidance=guidance, out=out, device=device, quiet=quiet)
