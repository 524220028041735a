"""`sfumato data`: what a data set holds; `check` says what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli.asked import DeviceOption
from sfumato.cli.generate import warnings_told

if TYPE_CHECKING:
    from sfumato.evaluation.data_check.checking import Checked

app = typer.Typer(help="Look after data sets.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Look after data sets."""


@app.command()
def check(
    data: Annotated[str, typer.Argument(help='A folder or tar of captioned pictures, or "digits".')],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for report.html and findings.jsonl; else DATA-check.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Whose CLIP sees whether captions fit; else nobody does.")
    ] = None,
    captioner: Annotated[
        str | None, typer.Option(help="A model folder whose captioner judges captions too, beside the CLIP or alone.")
    ] = None,
    lies: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="The expected share of captions that lie, which are named; else estimated."),
    ] = None,
    alterations: Annotated[
        int, typer.Option(min=0, help="Captions with a word exchanged that each is compared with: more find more.")
    ] = 16,
    smallest: Annotated[int, typer.Option(min=1, help="Pixels of the shorter side below which it is tiny.")] = 64,
    fix: Annotated[
        Path | None, typer.Option(help="A new folder for cleaned data, for train; the originals stay as they are.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="A kind of findings for which --fix leaves nothing out. Repeatable.")
    ] = None,
    shown: Annotated[int, typer.Option(min=0, max=2000, help="Pictures on the page, at most.")] = 200,
    device: DeviceOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Find what is wrong with pictures and captions: lies, copies, blur, watermarks, file names for captions.

    One page tells of it, the worst first; --fix writes cleaned data beside the old.
    """
    from sfumato.errors import DataError
    from sfumato.evaluation.data_check.checking import check as run
    from sfumato.evaluation.data_check.findings import KINDS

    if unknown := set(keep or ()) - set(KINDS):
        raise DataError(f"there is no kind {min(unknown)!r} of findings; --keep takes {', '.join(KINDS)}")
    settings: dict[str, Any] = {"altered": alterations, "smallest": smallest, "keep": keep or (), "shown": shown}
    with warnings_told():
        done = run(data, out, fix, model=model, captioner=captioner, lies=lies, device=device, quiet=quiet, **settings)
    _show(done, fix)


def _show(done: Checked, fix: Path | None) -> None:
    from rich.console import Console

    from sfumato.evaluation.data_check.checking import PAGE, counted

    console = Console(highlight=False, soft_wrap=True)
    for kind, count in counted(done.findings).items():
        console.print(f"{count:8,}  {kind}", markup=False)
    if not done.findings:
        console.print("Nothing was found.")
    if fix:
        console.print(f"{done.kept:,} pictures are kept in {fix}, {done.left_out:,} left out", markup=False)
    console.print(done.folder / PAGE, markup=False)
