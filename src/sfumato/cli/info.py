"""`sfumato info`: what a model is, and what it takes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sfumato.cli.asked import DtypeOption, OffloadOption, TilesOption, sides


def info(
    model: Annotated[
        str | None, typer.Argument(help="A model folder, a single file, an id on the hub, or an embedded model's name.")
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Say instead what making pictures takes; no weights are read.")
    ] = False,
    size: Annotated[str | None, typer.Option(help="With --memory: WIDTHxHEIGHT in pixels, or one number.")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=16, help="Pictures made together.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda; it need not be there.")] = "cpu",
    dtype: DtypeOption = None,
    tiles: TilesOption = "auto",
    offload: OffloadOption = None,
) -> None:
    """Say what a model is: parts, sizes, lineage, licence; or, with --memory, what making pictures takes."""
    if memory:
        _memory(model, number, device, dtype, offload, size, tiles)
    else:
        _facts(model)


def _facts(model: str | None) -> None:
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


def _memory(
    model: str | None, number: int, device: str, dtype: str | None, offload: str | None, size: str | None, tiles: str
) -> None:
    from rich.console import Console
    from rich.table import Table

    from sfumato.devices import choose_dtype
    from sfumato.pipelines.foretelling import foretold

    width, height = sides(size)
    settings: dict[str, Any] = {} if tiles == "auto" else {"tiles": tiles}
    told = foretold(model, number, device, choose_dtype(dtype), offload, width=width, height=height, **settings)
    table = Table("at work", "weights there", "besides", "together", box=None, pad_edge=False)
    for name in sorted(told.working, key=told.at):
        sizes = (told.resident[name], told.working[name], told.at(name))
        table.add_row(name or "between them", *(f"{size / 1e6:,.1f} MB" for size in sizes))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print()
    console.print(f"peak on {told.device}: {told.peak / 1e6:,.1f} MB, beside the program and its libraries")
