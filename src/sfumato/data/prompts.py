"""Prompts as people write them, taken apart by the rules of the program they were written for.

A prompt is branches, each a denoiser's call of its own; a branch is chunks, each read by itself; a chunk is pieces of
text with a weight. A *profile* says whose rules hold:

- `sfumato`: A1111's syntax, where only brackets that have their partner are syntax. `(word)` weighs 1.1 times as much,
  `[word]` 1.1 times less, `(word:1.3)` 1.3 times; `BREAK` begins a chunk, also within brackets; `AND` outside of
  brackets begins a branch, which may end in its weight, as in `a cat AND a dog :1.2`. A backslash before `( ) [ ] \\`
  takes it as text.
- `diffusers`: all is text.
- `a1111`: AUTOMATIC1111's stable-diffusion-webui 1.7: a bracket without partner holds to the end, `AND` is seen within
  brackets too, a prompt may end in `:weight` without any AND, and BREAK is a word within brackets that weigh.
- `comfyui`: ComfyUI: round brackets alone; an inner number takes the place of the outer one instead of multiplying it.

Weights may be negative, but lie between -1000 and 1000: a weight of 1e999 or nan is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sfumato.data.prompt_editing import first_edit
from sfumato.errors import PromptError

EMPHASIS = 1.1  # what a bracket without a number multiplies by, or divides
HEAVIEST = 1000.0
DEEPEST = 50  # brackets within each other

WHERE_AND, WHERE_BREAK = re.compile(r"\bAND\b"), re.compile(r"\bBREAK\b")
BRANCH_WEIGHT = re.compile(r":\s*([-+]?(?:\d*\.\d+|\d+\.?))\s*\Z")
MARKS, A1111_MARKS = (
    re.compile(rf"\\[\\()\[\]]|[\\()\[\]]|:\s*({number})\s*\)|[^\\()\[\]:]+|:")
    for number in (r"[-+]?(?:\d+\.?\d*|\.\d+)", r"[-+]?[.\d]+")
)
ROUND = re.compile(r"\\[()]|[()]")
TURNED = str.maketrans("()[]", ")(][")


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
class _Run:
    """Text and its weight while brackets are being closed around it."""

    text: str
    weight: float
    place: int


def parse(text: str, profile: str = "sfumato", *, negative: bool = False) -> tuple[Branch, ...]:
    """The branches of a prompt; one at least, of one chunk at least, which may hold no piece.

    Args:
        text: any text.
        profile: a name in `PROFILES`.
        negative: of what is to be gone away from there is one estimate only, so that AND is a word.

    Raises:
        PromptError: naming the character, counted from 1, for a weight that is out of bounds or no number, brackets
            more than 50 deep, or prompt editing ([from:to:when], [one|other]); or for a profile that does not exist.

    Example:
        >>> parse("(red:1.3) cat AND a dog :0.5")[0].chunks
        ((Piece(text='red', weight=1.3), Piece(text=' cat ', weight=1.0)),)
    """
    if profile not in _PARSERS:
        raise PromptError(f"There is no prompt profile {profile!r:.100}; there are {', '.join(PROFILES)}.")
    return tuple(_PARSERS[profile](text, not negative))


def _literal(text: str, branching: bool) -> Iterator[Branch]:
    yield Branch((_pieces([_Run(text, 1.0, 0)]),))


def _sfumato(text: str, branching: bool) -> Iterator[Branch]:
    _refuse_editing(text, 0)
    marks = list(MARKS.finditer(text))
    factors = _partners(marks)
    held = [1.0]  # the weights of the brackets that are open
    branches: list[list[list[_Run]]] = [[[]]]
    for at, mark in enumerate(marks):
        place, found = mark.start(), mark[0]
        if at in factors:
            factor = factors[at]
            if factor is None:
                held.pop()
            else:
                held.append(held[-1] * factor)
            continue
        if len(found) > 1 and found[0] == "\\":
            branches[-1][-1].append(_Run(found[1:], held[-1], place))
            continue
        for number, part in enumerate(WHERE_AND.split(found) if branching and len(held) == 1 else [found]):
            if number:
                branches.append([[]])
            for count, words in enumerate(_broken(part)):
                if count:
                    branches[-1].append([])
                branches[-1][-1].append(_Run(words, held[-1], place))
    for chunks in branches:
        weight = _taken_weight(chunks[-1]) if len(branches) > 1 else 1.0
        kept = [pieces for pieces in map(_pieces, chunks) if any(piece.text.strip() for piece in pieces)]
        yield Branch(tuple(kept) or (_pieces(chunks[0]),), weight)


def _partners(marks: list[re.Match[str]]) -> dict[int, float | None]:
    """The brackets that have a partner, by their number among the marks: what an opening one multiplies by."""
    found: dict[int, float | None] = {}
    open_: list[int] = []
    unmet = {"(": 0, "[": 0}
    for at, mark in enumerate(marks):
        if mark[0] in unmet:
            open_.append(at)
            unmet[mark[0]] += 1
        elif mark[0][-1] in ")]" and mark[0][0] != "\\":
            wanted = mark[0][-1].translate(TURNED)
            if not unmet[wanted]:
                continue
            while True:  # what was opened in between has no partner
                partner = open_.pop()
                unmet[marks[partner][0]] -= 1
                if marks[partner][0] == wanted:
                    break
            found[partner] = float(mark[1]) if mark[1] else EMPHASIS if wanted == "(" else 1 / EMPHASIS
            found[at] = None
    return found


def _taken_weight(runs: list[_Run]) -> float:
    """The weight at the end of a branch, 1 if there is none; it is taken off the runs."""
    tail = len(runs)
    while tail and runs[tail - 1].weight == 1 and (tail == len(runs) or not runs[tail].text.startswith(":")):
        tail -= 1
    rest = "".join(run.text for run in runs[tail:])
    match = BRANCH_WEIGHT.search(rest)
    if not match:
        return 1.0
    place = runs[tail].place
    runs[tail:] = [_Run(rest[: match.start()].rstrip(), 1.0, place)]
    return _bounded(float(match[1]), rest, place)


def _a1111(text: str, branching: bool) -> Iterator[Branch]:
    ends = [*WHERE_AND.finditer(text)] if branching else []
    starts = [0, *(mark.end() for mark in ends)]
    for start, end in zip(starts, [*(mark.start() for mark in ends), len(text)], strict=True):
        part, weight = text[start:end], 1.0
        match = BRANCH_WEIGHT.search(part) if branching else None
        if branching:
            part = part.rstrip() if match is None else part[: match.start()].rstrip()
        if match:
            weight = _bounded(float(match[1]), match[1], start + match.start(1))
        _refuse_editing(part, start)
        yield Branch(tuple(_attention(part, start)), weight)


def _attention(text: str, start: int) -> Iterator[tuple[Piece, ...]]:
    """Chunks by A1111's brackets: those that are never closed hold to the end; BREAK carries the weight -1."""
    runs: list[_Run] = []
    open_: dict[str, list[int]] = {"(": [], "[": []}

    def close(begin: int, factor: float) -> None:
        for run in runs[begin:]:
            run.weight *= factor

    for mark in A1111_MARKS.finditer(text):
        found, number, place = mark[0], mark[1], start + mark.start()
        if found[0] == "\\":
            runs.append(_Run(found[1:], 1.0, place))
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
            for count, words in enumerate(_broken(found)):
                if count:
                    runs.append(_Run("BREAK", -1.0, place))
                runs.append(_Run(words, 1.0, place))
    for begin in open_["("]:
        close(begin, EMPHASIS)
    for begin in open_["["]:
        close(begin, 1 / EMPHASIS)

    chunk: list[Piece] = []
    for piece in _pieces(runs):
        if piece == Piece("BREAK", -1.0):
            yield tuple(chunk)
            chunk = []
        else:
            chunk.append(piece)
    yield tuple(chunk)


def _comfyui(text: str, branching: bool) -> Iterator[Branch]:
    _refuse_depth(text)
    pieces = (
        Piece(ROUND.sub(lambda mark: mark[0][-1], text[start:end]), weight)
        for start, end, weight in _nested(text, 0, len(text), 1.0)
    )
    yield Branch((tuple(piece for piece in pieces if piece.text),))


def _nested(text: str, start: int, end: int, weight: float) -> Iterator[tuple[int, int, float]]:
    for begin, stop in _top_groups(text, start, end):
        if not (stop - begin >= 2 and text[begin] == "(" and text[stop - 1] == ")" and text[stop - 2] != "\\"):
            yield begin, stop, _bounded(weight, text[begin:stop], begin)
            continue
        begin, stop, inner = begin + 1, stop - 1, weight * EMPHASIS
        colon = text.rfind(":", begin, stop)
        if colon > begin:
            try:
                inner = float(text[colon + 1 : stop])
                stop = colon
            except ValueError:
                pass  # a colon like any other
        yield from _nested(text, begin, stop, inner)


def _top_groups(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Brackets with what is in them, and what is between them."""
    level, begin = 0, start
    for mark in ROUND.finditer(text, start, end):
        if mark[0] == "(":
            if level == 0 and mark.start() > begin:
                yield begin, mark.start()
                begin = mark.start()
            level += 1
        elif mark[0] == ")":
            level -= 1
            if level == 0:
                yield begin, mark.end()
                begin = mark.end()
    if begin < end:
        yield begin, end


def _refuse_depth(text: str) -> None:
    heights = [0]  # how deep the brackets are within each open one
    for mark in ROUND.finditer(text):
        if mark[0] == "(":
            heights.append(0)
        elif mark[0] == ")" and len(heights) > 1:
            height = heights.pop() + 1
            if height > DEEPEST:
                raise PromptError(f"Brackets stand more than {DEEPEST} deep at character {mark.start() + 1}.")
            heights[-1] = max(heights[-1], height)


def _broken(text: str) -> list[str]:
    """The text between its BREAKs, without the blanks around them."""
    *parts, last = WHERE_BREAK.split(text)
    if not parts:
        return [text]
    return [parts[0].rstrip(), *(part.strip() for part in parts[1:]), last.lstrip()]


def _pieces(runs: Iterable[_Run]) -> tuple[Piece, ...]:
    """Runs of equal weight as one piece, their weights checked; nothing of nothing."""
    merged: list[tuple[float, list[str]]] = []
    for run in runs:
        _bounded(run.weight, run.text, run.place)
        if merged and merged[-1][0] == run.weight:
            merged[-1][1].append(run.text)
        else:
            merged.append((run.weight, [run.text]))
    pieces = (Piece("".join(texts), weight) for weight, texts in merged)
    return tuple(piece for piece in pieces if piece.text)


def _bounded(weight: float, text: str, place: int) -> float:
    if not math.isfinite(weight) or abs(weight) > HEAVIEST:
        raise PromptError(
            f"The weight of {text.strip()!r:.60} at character {place + 1} is {weight:g}; "
            f"weights lie between {-HEAVIEST:g} and {HEAVIEST:g}."
        )
    return weight


def _is_number(text: str) -> bool:
    return text.count(".") <= 1 and any(letter.isdigit() for letter in text)


def _refuse_editing(text: str, start: int) -> None:
    place = first_edit(text)
    if place is not None:
        raise PromptError(
            f"The prompt changes from step to step at character {start + place + 1} ([from:to:when] or [one|other]); "
            "that is not done yet. A bracket that is only text is written \\[."
        )


_PARSERS: dict[str, Callable[[str, bool], Iterator[Branch]]] = {
    "sfumato": _sfumato,
    "diffusers": _literal,
    "a1111": _a1111,
    "comfyui": _comfyui,
}
PROFILES = tuple(_PARSERS)
"""Whose arithmetic a prompt is read with."""
