"""`sfumato evaluate`: is a model good?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli.asked import DeviceOption
from sfumato.cli.generate import warnings_told

if TYPE_CHECKING:
    from sfumato.evaluation.comparison import Comparison
    from sfumato.evaluation.scene_evaluation import Evaluated


def evaluate(
    model: Annotated[str, typer.Argument(help="A model folder, a single file, an id on the hub, or an embedded name.")],
    data: Annotated[
        str | None, typer.Option(help='A folder or tar of captioned pictures to compare with, or "digits".')
    ] = None,
    training: Annotated[
        str | None, typer.Option(help="The pictures that it learned from, to look for copies among.")
    ] = None,
    scenes: Annotated[
        bool, typer.Option("--scenes", help="Instead: composed scenes whose contents are known, judged exactly.")
    ] = False,
    sprites: Annotated[
        Path | None, typer.Option(help="With --scenes: the pack of sprites that it learned from; else the font's.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=4, help="How many pictures; with --scenes, in each category.")
    ] = None,
    features: Annotated[
        str, typer.Option(help='Who looks at them: "ours", or the folder of a model, a CLIP or a DINOv2.')
    ] = "ours",
    seed: Annotated[int, typer.Option(help="Of the first picture; the next ones have seed + 1, ...")] = 0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; else the model's own.")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How strongly the prompt steers; else the model's own.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the numbers and pictures; else MODEL-evaluation.")
    ] = None,
    device: DeviceOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Measure a model: its pictures for the captions of data, beside the real ones."""
    asked: dict[str, Any] = {"count": count, "seed": seed, "steps": steps, "guidance": guidance}
    asked |= {"out": out, "device": device, "quiet": quiet}
    if scenes:
        from sfumato.evaluation.scene_evaluation import run

        with warnings_told():
            judged = run(model, sprites=sprites, **asked)
        _show_scenes(judged)
        return
    from sfumato.evaluation.comparison import compare

    with warnings_told():
        done = compare(model, data, training, features=features, **asked)
    _show(done)


def _show(done: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    from sfumato.evaluation.measures import MEASURES

    told = done.metrics
    table = Table("measure", "made", "real", "better", box=None, pad_edge=False)
    for key, score in told["scores"].items():
        measure = MEASURES[key]
        cells = ("-" if value is None else f"{value:.{measure.digits}f}" for value in (score["value"], score["real"]))
        table.add_row(measure.title, *cells, measure.better)
    console = Console(highlight=False, soft_wrap=True)
    data, network = told["data"], told["features"]
    console.print(
        f"{told['model']['name']}: {data['pictures']} pictures for captions of {data['source']}, "
        f"seen by {network['name']} ({network['width']} features); known are {data['known']} {data['known_are']}",
        markup=False,
    )
    console.print(table)
    console.print(done.folder, markup=False)


def _show_scenes(done: Evaluated) -> None:
    from rich.console import Console
    from rich.table import Table

    from sfumato.evaluation.scene_benchmark import COLUMNS

    told = done.metrics
    columns = [kind for kind in COLUMNS if kind in told["overall"]]
    table = Table("scenes", *(kind.replace("_", " ") for kind in columns), box=None, pad_edge=False)
    rows = {**told["categories"], "overall": told["overall"], **{f"  {k}": v for k, v in told["ceilings"].items()}}
    for name, shares in rows.items():
        table.add_row(name, *(f"{shares[kind]:.1%}" if kind in shares else "-" for kind in columns))
    console = Console(highlight=False, soft_wrap=True)
    sprites, differs, memory = told["sprites"], told["variety"], told["memory"]
    console.print(
        f"{told['model']['name']}: {told['pictures']} scenes of {sprites['concepts']} concepts ({sprites['origin']})",
        markup=False,
    )
    console.print(table)
    console.print(f"from seed to seed: distance {differs['distance']:.3f}, places {differs['places']:.2f} sides apart")
    console.print(
        f"nearest of {memory['known']} training scenes: median {memory['made']:.3f}, least {memory['closest']:.3f}; "
        f"of fresh real scenes {memory['real']:.3f}"
    )
    console.print(done.folder, markup=False)
