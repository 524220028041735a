"""`sfumato generate`: pictures from a prompt."""

from __future__ import annotations

import re
import secrets
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.asked import Asked, asking
from sfumato.cli.marks import KeyOption, PrivateOption, SignOption, WatermarkKeyOption, WatermarkOption
from sfumato.cli.marks import marks as chosen_marks

if TYPE_CHECKING:
    from sfumato.pipelines.marks.writing import Marks
    from sfumato.pipelines.request import Request
    from sfumato.pipelines.text_to_image import Pipeline, Result
    from sfumato.progress import Progress

WriterOption = Annotated[
    str | None, typer.Option(help="A folder with the language model that writes prompts; else the model's own.")
]

TOGETHER = 16  # pictures that are made, and saved, at a time


@asking
def generate(
    prompt: Annotated[str, typer.Argument(help="What the picture shows, in words.")],
    asked: Asked,
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=10_000, help="How many pictures.")] = 1,
    expand: Annotated[
        bool, typer.Option("--expand/--no-expand", help="Let a language model complete a short prompt.")
    ] = False,
    writer: WriterOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")] = Path("pictures"),
    grid: Annotated[bool, typer.Option("--grid", help="Also save all of them on one sheet.")] = False,
    previews: Annotated[bool, typer.Option("--previews", help="Also save every step of the way.")] = False,
    private: PrivateOption = False,
    watermark: WatermarkOption = None,
    watermark_key: WatermarkKeyOption = None,
    sign: SignOption = None,
    key: KeyOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the files.")] = False,
) -> None:
    """Make pictures from a prompt; each PNG carries its recipe."""
    from sfumato.data.pictures import grid as sheet
    from sfumato.pipelines.keepsake import save_picture
    from sfumato.progress import Progress

    marks = chosen_marks(private, watermark, watermark_key, sign, key)
    name = "picture" if private else slug(prompt)
    settings = asked.settings()
    with warnings_told():
        pipeline = asked.pipeline()
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    said = _expanded(pipeline, prompt, seed, writer, asked.syntax, quiet) if expand else prompt
    requests = pipeline.requests(said, number, seed, typed=prompt if said != prompt else "", **settings)
    began = time.monotonic()
    made = []
    with Progress(quiet) as progress, warnings_told():
        for first in range(0, number, TOGETHER):
            some = requests[first : first + TOGETHER]
            paths = [new_path(out, f"{name}-{_number(request)}") for request in some]
            result = follow(pipeline, some, paths if previews else [], progress, marks)
            result.save(paths, marks)
            print(*paths, sep="\n", flush=True)
            made += result.pictures if grid else []
        if grid:
            file = new_path(out, f"{name}-grid-{requests[0].seed}")
            save_picture(sheet(made), file, {**pipeline.recipe(requests[0]), "grid_of": number}, marks)
            print(file)
        seconds = time.monotonic() - began
        progress.say(f"{number} picture(s) in {seconds:.1f} s, seed {requests[0].seed}")


def _expanded(pipeline: Pipeline, prompt: str, seed: int, writer: str | None, syntax: str, quiet: bool) -> str:
    """The prompt completed, and what was added told on a line of its own."""
    from sfumato.pipelines.language.hearing import Hearing
    from sfumato.pipelines.language.language_model import LanguageModel
    from sfumato.pipelines.language.prompting import expand
    from sfumato.pipelines.language.writers import writer_of
    from sfumato.pipelines.weighting import Reading

    model = pipeline.model
    language = LanguageModel.load(writer_of(model.folder, writer), str(model.device))
    made = expand(language, prompt, seed, hearing=Hearing.of(model), reading=Reading(syntax))
    if not quiet:
        print(made.told, file=sys.stderr)
    return str(made)


@contextmanager
def warnings_told() -> Iterator[None]:
    """Warnings as lines of their own, given at the end, also of work that fails."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            for warning in caught:
                print(f"Warning: {warning.message}", file=sys.stderr)


def follow(
    pipeline: Pipeline,
    requests: list[Request],
    previews: list[Path],
    progress: Progress,
    marks: Marks | None = None,
) -> Result:
    """Run to the end, showing progress and saving previews."""
    from sfumato.pipelines.keepsake import save_picture
    from sfumato.pipelines.marks.writing import PLAIN
    from sfumato.pipelines.text_to_image import Result

    recipes = [pipeline.recipe(request) for request in requests]
    stage, plain = "", replace(marks, watermark=None) if marks else PLAIN  # a watermark is for finished pictures
    for step in pipeline.run(requests):
        if step.stage == "done":
            break
        if step.stage != stage:
            progress.begin(step.stage, step.steps)
            stage = step.stage
        progress.advance(step.step)
        if previews:
            for path, recipe, picture in zip(previews, recipes, step.pictures(), strict=True):
                name = f"{path.stem}-{step.stage}-{step.step:03}.png"
                save_picture(picture, path.with_name(name), {**recipe, "preview": name}, plain)
    return Result(step.pictures(), recipes)


def new_path(folder: Path, name: str) -> Path:
    """A PNG file that is not there yet: a picture that exists is kept, the new one gets a number."""
    path, number = folder / f"{name}.png", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.png", number + 1
    return path


def _number(request: Request) -> str:
    """What tells the pictures of one call apart."""
    return f"{request.seed}-{request.variation_seed}" if request.variation else str(request.seed)


def slug(prompt: str) -> str:
    """A prompt as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60] or "picture"
