"""`sfumato write`: texts that go on from a prompt."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli.asked import DeviceOption
from sfumato.cli.generate import warnings_told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfumato.pipelines.language.language_model import LanguageModel
    from sfumato.pipelines.language.writing import Piece

LanguageModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A folder with a language model of ours, GPT-2 or Llama."),
]


def write(
    prompt: Annotated[str, typer.Argument(help="What the text goes on from; it may be empty.")] = "",
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=10_000, help="How many texts.")] = 1,
    model: LanguageModelOption = None,
    tokens: Annotated[int | None, typer.Option(help="Written at most; 200, or as many as there is room for.")] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest, 1 is the model's own freedom.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Choose among so many of the likeliest tokens.")] = None,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest that make up this probability.")] = 1.0,
    min_p: Annotated[float, typer.Option(help="Leave out what is less likely than this times the likeliest.")] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1: what was said already becomes unlikelier.")] = 1.0,
    stop: Annotated[list[str] | None, typer.Option(help="End before this; \\n is a new line. Repeatable.")] = None,
    must: Annotated[list[str] | None, typer.Option(help="A word that the text must contain. Repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first text; the next ones have seed + 1, ...")] = None,
    slide: Annotated[bool, typer.Option("--slide", help="Write on beyond what the model reads at a time.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Print one text after the other, as they come.")] = False,
    xray: Annotated[
        Path | None, typer.Option(help="Also write a page that tells what might have come at each token, of one text.")
    ] = None,
    device: DeviceOption = "auto",
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; else as suits the device.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the texts.")] = False,
) -> None:
    """Write texts that go on from a prompt, with a language model."""
    from sfumato.devices import choose_dtype
    from sfumato.errors import PromptError
    from sfumato.pipelines.language.choosing import Sampling
    from sfumato.pipelines.language.language_model import LanguageModel

    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    with warnings_told():
        writer = LanguageModel.load(model, device, choose_dtype(dtype))
    if stream:
        writer.texts_a_pass = 1
    asked = writer.asked(prompt, number, seed)
    ends = [text.replace("\\n", "\n") for text in stop or ()]
    if xray is not None:
        if number > 1 or must or slide or stream:
            raise PromptError("--xray is of one text, and does not go with --number, --must, --slide and --stream.")
        _traced(writer, prompt, xray, tokens=tokens, sampling=sampling, stop=ends, seed=asked[0][1])
        return
    began, written = time.monotonic(), 0
    pieces = writer.stream(asked, tokens=tokens, sampling=sampling, stop=ends, must=must or (), slide=slide)
    for text, count in _streamed(prompt, pieces) if stream else _whole(prompt, number, pieces):
        print(text, end="", flush=True)
        written += count
    if not quiet:
        seconds = time.monotonic() - began
        rate = written / seconds if seconds else 0.0
        told = f"{number} text(s), {written} tokens in {seconds:.1f} s ({rate:.0f} a second), seed {asked[0][1]}"
        print(told, file=sys.stderr)


def _traced(writer: LanguageModel, prompt: str, page: Path, **settings: Any) -> None:
    """Print a text and write its page."""
    from sfumato.checkpoints.files import write_text
    from sfumato.pipelines.language.tracing import trace_text
    from sfumato.server.xray.writing import text_page

    trace = trace_text(writer, prompt, **settings)
    print(trace.text)
    write_text(page, text_page(trace, facts=[f"seed {trace.text.seed}"]))
    print(page, file=sys.stderr)


def _whole(prompt: str, number: int, pieces: Iterator[Piece]) -> Iterator[tuple[str, int]]:
    """Each text as soon as it and all before it are done, with how many tokens it has."""
    texts, counts, done, told = [prompt] * number, [0] * number, set[int](), 0
    for piece in pieces:
        texts[piece.row] += piece.text
        counts[piece.row] += 1
        if piece.reason:
            done.add(piece.row)
        while told in done:
            yield _between(told) + texts[told] + "\n", counts[told]
            told += 1


def _streamed(prompt: str, pieces: Iterator[Piece]) -> Iterator[tuple[str, int]]:
    """The pieces of one text after the other."""
    row = -1
    for piece in pieces:
        if piece.row != row:
            row = piece.row
            yield _between(row) + prompt, 0
        yield piece.text + ("\n" if piece.reason else ""), 1


def _between(row: int) -> str:
    """What stands between two texts: they may be of many lines."""
    return "---\n" if row else ""
