"""`sfumato info`: what a model is."""

from __future__ import annotations

from typing import Annotated

import typer


def info(
    model: Annotated[
        str | None, typer.Argument(help="A model folder, a single file, an id on the hub, or an embedded model's name.")
    ] = None,
) -> None:
    """Say what a model is: parts, sizes, lineage, licence."""
    from rich.console import Console
    from rich.table import Table

    from sfumato.pipelines.facts import facts

    told = facts(model)
    console = Console(highlight=False, soft_wrap=True)
    for name, value in told.summary:
        console.print(f"{name:<14}", end="", markup=False)
        console.print(value, markup=False)
    table = Table("part", "network", "parameters", "format", "size", box=None, pad_edge=False)
    for part in told.parts:
        table.add_row(part.name, part.network, f"{part.parameters:,}", part.dtype, f"{part.bytes / 1e6:.1f} MB")
    console.print()
    console.print(table)
