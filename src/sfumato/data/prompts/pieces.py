"""Pieces of a prompt: text of one weight, and what they make together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from sfumato.data.prompts.editing import first_edit
from sfumato.errors import PromptError

EMPHASIS = 1.1  # what a bracket without a number multiplies by, or divides
HEAVIEST = 1000.0
DEEPEST = 50  # brackets within each other

WHERE_AND, WHERE_BREAK = re.compile(r"\bAND\b"), re.compile(r"\bBREAK\b")
BRANCH_WEIGHT = re.compile(r":\s*([-+]?(?:\d*\.\d+|\d+\.?))\s*\Z")


@dataclass(frozen=True)
class Piece:
    """Text of one weight; 1 is ordinary."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Branch:
    """Chunks of pieces for one call of the denoiser, and how much its estimate counts."""

    chunks: tuple[tuple[Piece, ...], ...]
    weight: float = 1.0


@dataclass
class Run:
    """Text and its weight while brackets are being closed around it."""

    text: str
    weight: float
    place: int


def parted_at_breaks(text: str) -> list[str]:
    """The text between its BREAKs, without the blanks around them."""
    *parts, last = WHERE_BREAK.split(text)
    if not parts:
        return [text]
    return [parts[0].rstrip(), *(part.strip() for part in parts[1:]), last.lstrip()]


def merged(runs: Iterable[Run]) -> tuple[Piece, ...]:
    """Runs of equal weight as one piece, their weights checked; nothing of nothing."""
    together: list[tuple[float, list[str]]] = []
    for run in runs:
        bounded(run.weight, run.text, run.place)
        if together and together[-1][0] == run.weight:
            together[-1][1].append(run.text)
        else:
            together.append((run.weight, [run.text]))
    pieces = (Piece("".join(texts), weight) for weight, texts in together)
    return tuple(piece for piece in pieces if piece.text)


def bounded(weight: float, text: str, place: int) -> float:
    """The weight of the text at a place; PromptError when it is not between -1000 and 1000."""
    if not math.isfinite(weight) or abs(weight) > HEAVIEST:
        raise PromptError(
            f"The weight of {text.strip()!r:.60} at character {place + 1} is {weight:g}; "
            f"weights lie between {-HEAVIEST:g} and {HEAVIEST:g}."
        )
    return weight


def refuse_editing(text: str, start: int) -> None:
    """Raises PromptError for a text, from character `start` of the prompt, that changes from step to step."""
    place = first_edit(text)
    if place is not None:
        raise PromptError(
            f"The prompt changes from step to step at character {start + place + 1} ([from:to:when] or [one|other]); "
            "that is done by the rules of a1111 alone. A bracket that is only text is written \\[."
        )
