"""`sfumato train`: a model of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.training.ways import TABLES

DATA = (
    'A folder or tar of captioned pictures, "digits" or "scenes"; with --recipe gpt also a text or a folder of texts.'
)
ONE_STAGE = f"Only this stage of the recipe, such as {', '.join(TABLES)}, or denoiser-2 where it is repeated."


def train(
    data: Annotated[str, typer.Argument(help=DATA)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model folder to make, or to go on with.")],
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or TOML file.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="A value over the recipe's: path.to.key=value.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time for everything, such as 10m: sizes and steps follow.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="tiny, small, base or large; the recipe's when not given.")] = None,
    stage: Annotated[str | None, typer.Option(help=ONE_STAGE)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a model from zero: autoencoder, CLIP, denoiser and upsampler, the stages of another way, or a GPT.

    The same command goes on after Ctrl-C, a kill or a full disk. Under torchrun several processes train together.
    """
    from sfumato.training.train import train as run

    run(data, out, recipe, set or (), budget, stage, quiet, size)
