"""Our own rules for prompts: A1111's syntax, where only brackets that have their partner are syntax."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sfumato.data.prompts.pieces import (
    BRANCH_WEIGHT,
    EMPHASIS,
    WHERE_AND,
    Branch,
    Run,
    bounded,
    merged,
    parted_at_breaks,
    refuse_editing,
)

MARKS = re.compile(r"\\[\\()\[\]]|[\\()\[\]]|:\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*\)|[^\\()\[\]:]+|:")
TURNED = str.maketrans("()[]", ")(][")


def branches(text: str, branching: bool) -> Iterator[Branch]:
    """The branches of a prompt, or its one branch where AND is a word."""
    refuse_editing(text, 0)
    marks = list(MARKS.finditer(text))
    factors = _partners(marks)
    held = [1.0]  # the weights of the brackets that are open
    made: list[list[list[Run]]] = [[[]]]
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
            made[-1][-1].append(Run(found[1:], held[-1], place))
            continue
        for number, part in enumerate(WHERE_AND.split(found) if branching and len(held) == 1 else [found]):
            if number:
                made.append([[]])
            for count, words in enumerate(parted_at_breaks(part)):
                if count:
                    made[-1].append([])
                made[-1][-1].append(Run(words, held[-1], place))
    for chunks in made:
        weight = _taken_weight(chunks[-1]) if len(made) > 1 else 1.0
        kept = [pieces for pieces in map(merged, chunks) if any(piece.text.strip() for piece in pieces)]
        yield Branch(tuple(kept) or (merged(chunks[0]),), weight)


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


def _taken_weight(runs: list[Run]) -> float:
    """The weight at the end of a branch, 1 if there is none; it is taken off the runs."""
    tail = len(runs)
    while tail and runs[tail - 1].weight == 1 and (tail == len(runs) or not runs[tail].text.startswith(":")):
        tail -= 1
    rest = "".join(run.text for run in runs[tail:])
    match = BRANCH_WEIGHT.search(rest)
    if not match:
        return 1.0
    place = runs[tail].place
    runs[tail:] = [Run(rest[: match.start()].rstrip(), 1.0, place)]
    return bounded(float(match[1]), rest, place)
