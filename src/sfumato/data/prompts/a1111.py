"""Prompts by the rules of AUTOMATIC1111's stable-diffusion-webui 1.7."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sfumato.data.prompts.editing import at
from sfumato.data.prompts.pieces import (
    BRANCH_WEIGHT,
    DEEPEST,
    EMPHASIS,
    WHERE_AND,
    Branch,
    Piece,
    Run,
    bounded,
    merged,
    parted_at_breaks,
    refuse_editing,
)
from sfumato.errors import PromptError

MARKS = re.compile(r"\\[\\()\[\]]|[\\()\[\]]|:\s*([-+]?[.\d]+)\s*\)|[^\\()\[\]:]+|:")


def branches(text: str, branching: bool, step: int | None = None, steps: int = 1) -> Iterator[Branch]:
    """The branches of a prompt, or its one branch where AND is a word.

    At a `step`, 1 to `steps`, of a prompt that changes; without one such a prompt is refused.
    """
    for part, weight, start in parts(text, branching):
        if step is None:
            refuse_editing(part, start)
        yield Branch(tuple(_attention(part if step is None else at(part, step, steps), start)), weight)


def parts(text: str, branching: bool) -> Iterator[tuple[str, float, int]]:
    """The text of each branch, its weight, and at which character of the prompt it begins."""
    marks = [*WHERE_AND.finditer(text)] if branching else []
    starts = [0, *(mark.end() for mark in marks)]
    for start, end in zip(starts, [*(mark.start() for mark in marks), len(text)], strict=True):
        part, weight = text[start:end], 1.0
        match = BRANCH_WEIGHT.search(part) if branching else None
        if branching:
            part = part.rstrip() if match is None else part[: match.start()].rstrip()
        if match:
            weight = bounded(float(match[1]), match[1], start + match.start(1))
        yield part, weight, start


def _attention(text: str, start: int) -> Iterator[tuple[Piece, ...]]:
    """Chunks by A1111's brackets: those that are never closed hold to the end; BREAK carries the weight -1."""
    runs: list[Run] = []
    open_: dict[str, list[int]] = {"(": [], "[": []}

    def close(begin: int, factor: float) -> None:
        for run in runs[begin:]:
            run.weight *= factor

    for mark in MARKS.finditer(text):
        found, number, place = mark[0], mark[1], start + mark.start()
        if found[0] == "\\":
            runs.append(Run(found[1:], 1.0, place))
        elif found in open_:
            open_[found].append(len(runs))
            if sum(map(len, open_.values())) > DEEPEST:
                raise PromptError(f"Brackets stand more than {DEEPEST} deep at character {place + 1}.")
        elif number and open_["("]:
            if not _is_number(number):
                raise PromptError(f"The weight {number!r:.100} at character {place + 2} is not a number.")
            close(open_["("].pop(), float(number))
        elif found == ")" and open_["("]:
            close(open_["("].pop(), EMPHASIS)
        elif found == "]" and open_["["]:
            close(open_["["].pop(), 1 / EMPHASIS)
        else:
            for count, words in enumerate(parted_at_breaks(found)):
                if count:
                    runs.append(Run("BREAK", -1.0, place))
                runs.append(Run(words, 1.0, place))
    for begin in open_["("]:
        close(begin, EMPHASIS)
    for begin in open_["["]:
        close(begin, 1 / EMPHASIS)

    chunk: list[Piece] = []
    for piece in merged(runs):
        if piece == Piece("BREAK", -1.0):
            yield tuple(chunk)
            chunk = []
        else:
            chunk.append(piece)
    yield tuple(chunk)


def _is_number(text: str) -> bool:
    return text.count(".") <= 1 and any(letter.isdigit() for letter in text)
