"""`sfumato imagine`: new prompts in the style of a model's captions."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.asked import DeviceOption, ModelOption
from sfumato.cli.generate import WriterOption, warnings_told


def imagine(
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=10_000, help="How many prompts.")] = 5,
    model: ModelOption = None,
    writer: WriterOption = None,
    seed: Annotated[int | None, typer.Option(help="The same prompts again, however many are asked for.")] = None,
    must: Annotated[list[str] | None, typer.Option(help="A word that each prompt contains. Repeatable.")] = None,
    besides: Annotated[
        Path | None, typer.Option(help="A text file of prompts, one a line, that are not wanted again.")
    ] = None,
    known: Annotated[bool, typer.Option("--known", help="Also prompts that the writer learned from.")] = False,
    temperature: Annotated[float, typer.Option(help="0 to 100; below 1 more usual, above 1 stranger.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest tokens of this probability.")] = 1.0,
    device: DeviceOption = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the prompts.")] = False,
) -> None:
    """Write new prompts that the model can follow, one a line."""
    from sfumato.data.text.reading import pieces
    from sfumato.pipelines.finding import find
    from sfumato.pipelines.language.choosing import Sampling
    from sfumato.pipelines.language.hearing import Hearing
    from sfumato.pipelines.language.language_model import LanguageModel
    from sfumato.pipelines.language.prompting import imagine as imagined
    from sfumato.pipelines.language.writers import writer_of
    from sfumato.pipelines.package import opened

    folder = find(model)
    sampling = Sampling(temperature=temperature, top_p=top_p)
    seed = secrets.randbits(32) if seed is None else seed
    told = "".join(pieces(besides, str(besides))).splitlines() if besides else ()
    with warnings_told():
        language = LanguageModel.load(writer_of(folder, writer), device)
        hearing = Hearing.of_package(opened(folder))
        made = imagined(
            language,
            number,
            seed,
            must=must or (),
            hearing=hearing,
            sampling=sampling,
            besides=frozenset(told),
            new=not known,
        )
    print(*made.prompts, sep="\n")
    if len(made.prompts) < number:
        print(f"Only {len(made.prompts)} of {number}: too many texts had to be drawn again.", file=sys.stderr)
    if not quiet:
        print(f"{made.share_refused:.0%} of the texts drawn were no prompts, seed {seed}", file=sys.stderr)
