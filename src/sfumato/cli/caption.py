"""`sfumato caption`: captions written anew for pictures that have some."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import DeviceOption
from sfumato.cli.generate import warnings_told


def caption(
    data: Annotated[str, typer.Argument(help='A folder or tar of captioned pictures, or "digits".')],
    model: Annotated[str | None, typer.Option("--model", "-m", help="A model folder with a captioner.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new folder for the captions; else DATA-captions.")
    ] = None,
    share: Annotated[float, typer.Option(help="Of the pictures whose caption is the new one, 0 to 1.")] = 0.5,
    worst: Annotated[bool, typer.Option("--worst", help="Take those whose captions fit them worst.")] = False,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest words, 1 is the model's freedom.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Decides which pictures get a new caption, and free words.")] = 0,
    device: DeviceOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Write captions anew with a captioner, mixed with the old ones; a new folder for train holds both.

    The originals stay as they are.
    """
    from sfumato.errors import DataError
    from sfumato.evaluation.recaptioning import recaption
    from sfumato.pipelines.language.captioning import CaptionModel
    from sfumato.pipelines.language.choosing import Sampling

    if model is None:
        raise DataError(
            "Name a captioner: --model FOLDER. To train one on captioned pictures: "
            "sfumato train DATA --recipe captioner"
        )
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(data).resolve().name).strip("-.") or "data"
    folder = out or Path(f"{name}-captions")
    with warnings_told():
        writer = CaptionModel.load(model, device)
        chosen = Sampling(temperature)
        done = recaption(data, folder, writer, share, worst=worst, sampling=chosen, seed=seed, quiet=quiet)
    if len(done.report):
        print(done.report.summary())
    print(f"{done.new:,} pictures have a new caption and {done.old:,} their own")
    print(folder)
