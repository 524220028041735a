"""`sfumato verify`: whether a picture is marked as made by a machine, and whether the marks hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import ModelOption
from sfumato.cli.marks import secret


def verify(
    picture: Annotated[Path, typer.Argument(help="A picture from anywhere.")],
    trust: Annotated[
        Path | None, typer.Option(help="Certificates in PEM, of the authorities whose signers you trust.")
    ] = None,
    watermark_key: Annotated[
        str | None, typer.Option(help="A file with the secret of the watermark, else everybody's.")
    ] = None,
    model: ModelOption = None,
) -> None:
    """Look for the marks of generated pictures; exit code 0 when there are some, 1 for none, 2 when they do not hold.

    Nothing is fetched from the network.
    """
    from sfumato.pipelines.given import read
    from sfumato.pipelines.marks.credentials import pem
    from sfumato.pipelines.marks.verifying import replayable
    from sfumato.pipelines.marks.verifying import verify as look

    verdict = look(read(picture), secret(watermark_key), pem(trust) if trust else "")
    for mark in verdict.marks:
        print(f"marked as AI-generated: {mark}")
    for note in verdict.notes:
        print(f"note: {note}")
    if verdict.recipe is not None:
        why = replayable(verdict.recipe, model)
        print(f"recipe: cannot be made again here: {why}" if why else "recipe: its model is here to make it again")
    for fault in verdict.faults:
        print(f"BROKEN: {fault}")
    if not verdict.marks and not verdict.faults:
        print("no mark was found, which proves nothing: marks can be taken out")
    raise typer.Exit(verdict.exit_code)
