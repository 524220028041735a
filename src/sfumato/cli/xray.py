"""`sfumato xray`: a page that shows how a picture emerged, and where its words act."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.asked import Asked, asking
from sfumato.cli.generate import warnings_told
from sfumato.errors import PromptError

if TYPE_CHECKING:
    from sfumato.evaluation.neighbours import Neighbour
    from sfumato.pipelines.text_to_image import Pipeline
    from sfumato.pipelines.trace import Trace
    from sfumato.server.xray.effects import Effect


@asking
def xray(
    prompt: Annotated[str, typer.Argument(help="What the picture shows, in words.")],
    asked: Asked,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("xray.html"),
    against: Annotated[str | None, typer.Option(help="Another prompt, shown side by side.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="A word to take away. Repeatable.")] = None,
    every_word: Annotated[bool, typer.Option("--every-word", help="Take away each word in turn.")] = False,
    instead: Annotated[
        list[str] | None, typer.Option(help='"cat=dog": another word in the place of one. Repeatable.')
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=24, help="How many seeds, beside whose ways the latent's is drawn.")
    ] = 3,
    nearest: Annotated[int, typer.Option(min=0, max=24, help="How many of the nearest training pictures.")] = 6,
    training: Annotated[
        str | None, typer.Option(help="The pictures that the model learned from, if its run folder is not there.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the file.")] = False,
) -> None:
    """Write one HTML page about a picture: steps, words, guidance, ways; it needs no network to be read."""
    from sfumato.checkpoints.files import write_text
    from sfumato.progress import Progress
    from sfumato.server.xray.page import page

    settings = asked.settings()
    replaced = [_replacement(text) for text in instead or ()]
    with Progress(quiet) as progress, warnings_told():
        pipeline = asked.pipeline()
        seed = secrets.randbits(32) if asked.seed is None else asked.seed
        trace = pipeline.trace(prompt, seed=seed, **settings)
        progress.say(f"seed {seed}")
        others = [pipeline.trace(prompt, seed=seed + more, **settings) for more in range(1, seeds)]
        beside = None if against is None else pipeline.trace(against, seed=seed, **settings)
        found = _effects(pipeline, trace, without or (), every_word, replaced)
        near = _nearest(pipeline, trace, nearest, training)
        write_text(out, page(trace, others, found, against=beside, near=near))
    print(out)


def _effects(
    pipeline: Pipeline, trace: Trace, without: Sequence[str], every: bool, replaced: Sequence[tuple[str, str]]
) -> list[Effect]:
    from sfumato.server.xray.effects import Effect

    gone: list[int | str] = [number for number, word in enumerate(trace.words) if word.tokens] if every else [*without]
    found = [Effect(_text(trace, word), pipeline.without(trace, word).picture) for word in gone]
    return found + [Effect(one, pipeline.replaced(trace, one, other).picture, other) for one, other in replaced]


def _text(trace: Trace, word: int | str) -> str:
    return word if isinstance(word, str) else trace.words[word].text


def _nearest(pipeline: Pipeline, trace: Trace, most: int, data: str | None) -> list[Neighbour]:
    from sfumato.evaluation.neighbours import neighbours, training_pictures

    if not most:
        return []
    with training_pictures(pipeline.model.folder, data) as known:
        return [] if known is None else neighbours(trace.picture, known, most)


def _replacement(text: str) -> tuple[str, str]:
    word, sign, other = text.partition("=")
    if not sign or not word.strip() or not other.strip():
        raise PromptError(f'--instead takes a word and what stands in its place such as "cat=dog", not {text!r}.')
    return word.strip(), other.strip()
