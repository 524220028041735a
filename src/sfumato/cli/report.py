"""`sfumato report`: a model's report card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import DeviceOption
from sfumato.cli.generate import warnings_told


def report(
    model: Annotated[str, typer.Argument(help="A model folder, a single file, an id on the hub, or an embedded name.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="A folder that evaluate wrote; else MODEL/evaluation and MODEL-evaluation. Repeatable."),
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="Make a picture of this for the page, with seed 0. Repeatable.")
    ] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=0, max=200, help="Pictures on the page, at most.")] = 24,
    device: DeviceOption = "auto",
) -> None:
    """Write one HTML page about a model: pictures, scores, parts, origin, training curves, limits."""
    from sfumato.evaluation.report.card import card
    from sfumato.evaluation.report.page import write_page

    with warnings_told():
        write_page(card(model, evaluation or (), prompt or (), number, device), out)
    print(out)
