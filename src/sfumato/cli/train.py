"""`sfumato train`: a model of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.training.ways import TABLES

if TYPE_CHECKING:
    from sfumato.training.rehearsal import Rehearsal

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
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only tell how long it would take, after a moment of each stage.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="With --estimate: told for programs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a model from zero: autoencoder, CLIP, denoiser and upsampler, the stages of another way, or a GPT.

    The same command goes on after Ctrl-C, a kill or a full disk. Under torchrun several processes train together.
    """
    if estimate:
        _estimate(data, out, recipe, set or [], budget, stage, quiet or json, size, json)
        return
    from sfumato.training.train import train as run

    run(data, out, recipe, set or (), budget, stage, quiet, size)


def _estimate(
    data: str,
    out: Path,
    recipe: str | None,
    settings: list[str],
    budget: str | None,
    stage: str | None,
    quiet: bool,
    size: str | None,
    as_json: bool,
) -> None:
    from json import dumps

    from sfumato.errors import RecipeError
    from sfumato.training.rehearsal import rehearse

    if stage is not None:
        raise RecipeError("--estimate tells of all stages; leave --stage out.")
    told = rehearse(data, out, recipe, settings, budget, quiet, size)
    print(dumps(told.to_dict()) if as_json else _table(told))


def _table(told: Rehearsal) -> str:
    lines = [f"{told.samples:,} samples, {told.set_aside:,} set aside, on {told.device}"]
    lines += [
        f"  {stage.name:14}{stage.size:6}{stage.steps:>10,} steps {_clock(stage.seconds):>12}" for stage in told.stages
    ]
    memory = told.device_memory or told.memory
    there = f", {told.free_memory / 2**30:.1f} GiB were free" if told.free_memory is not None else ""
    lines.append(f"  in all {_clock(told.seconds)}, {memory / 2**30:.1f} GiB of memory{there}")
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
