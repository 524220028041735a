"""Prompts by the rules of ComfyUI."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sfumato.data.prompts.pieces import DEEPEST, EMPHASIS, Branch, Piece, bounded
from sfumato.errors import PromptError

ROUND = re.compile(r"\\[()]|[()]")


def branches(text: str, branching: bool) -> Iterator[Branch]:
    """The one branch of a prompt."""
    _refuse_depth(text)
    pieces = (
        Piece(ROUND.sub(lambda mark: mark[0][-1], text[start:end]), weight)
        for start, end, weight in _nested(text, 0, len(text), 1.0)
    )
    yield Branch((tuple(piece for piece in pieces if piece.text),))


def _nested(text: str, start: int, end: int, weight: float) -> Iterator[tuple[int, int, float]]:
    for begin, stop in _top_groups(text, start, end):
        if not (stop - begin >= 2 and text[begin] == "(" and text[stop - 1] == ")" and text[stop - 2] != "\\"):
            yield begin, stop, bounded(weight, text[begin:stop], begin)
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
