"""What was seen of pictures and read in captions, turned into findings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from sfumato.data.entries import Entry
from sfumato.data.report import Report
from sfumato.evaluation.data_check import duplicates
from sfumato.evaluation.data_check.blur import BLURRED
from sfumato.evaluation.data_check.boilerplate import boilerplate, repeated
from sfumato.evaluation.data_check.encoding import damage
from sfumato.evaluation.data_check.findings import Finding
from sfumato.evaluation.data_check.lies import Judgement
from sfumato.evaluation.data_check.looking import Look
from sfumato.evaluation.data_check.overlays import ALIKE
from sfumato.evaluation.data_check.scripts import foreign, usual_script

PLAIN = 0.995  # of one colour
Pair = tuple[int, str]


def unusable(report: Report, entries: Sequence[Entry], broken: Mapping[int, str]) -> Iterator[Finding]:
    """What could not be used at all: what the data tell of, and samples that cannot be opened, with the reasons."""
    for problem in report:
        if not problem.kept:
            yield Finding(problem.where, "unusable", 1.0, problem.reason)
    for number, reason in broken.items():
        yield Finding(entries[number].picture.name, "unusable", 1.0, reason, number)


def of_picture(number: int, entry: Entry, look: Look, smallest: int) -> Iterator[Finding]:
    """What is wrong with one picture alone."""
    where = entry.picture.name
    if look.size and min(look.size) < smallest:
        told = f"{look.size[0]} x {look.size[1]} pixels, where {smallest} a side are wanted"
        yield Finding(where, "tiny", 1 - min(look.size) / smallest, told, number)
    if look.plain >= PLAIN:
        yield Finding(where, "plain", look.plain, f"{_percent(look.plain)} of it is of one colour", number)
    elif look.blur is not None and look.blur >= BLURRED:
        told = f"blurred: {look.blur:.2f} on a scale from 0 to 1, where sharp pictures have less than {BLURRED}"
        yield Finding(where, "blur", look.blur, told, number)
    if look.marked >= ALIKE:
        told = f"bears lines that many others have at the same place; {_percent(look.marked)} of them agree"
        yield Finding(where, "overlay", min(1.0, look.marked), told, number)


def of_copies(entries: Sequence[Entry], looks: Sequence[Look], numbers: Sequence[int]) -> Iterator[Finding]:
    """Pictures that are copies of others, given with their numbers; the largest of several is no copy."""
    same = duplicates.same([look.digest for look in looks])
    rest = sorted(set(range(len(looks))) - {copy for copy, _ in same})
    small = np.stack([looks[place].small for place in rest]) if rest else np.empty((0, 16, 16, 3), np.uint8)
    apart: dict[int, float] = {}

    def near() -> Iterator[tuple[int, int]]:
        for a, b, distance in duplicates.near(small):
            for place in (rest[a], rest[b]):
                apart[place] = min(distance, apart.get(place, distance))
            yield rest[a], rest[b]

    def name(place: int) -> str:
        return entries[numbers[place]].picture.name

    def finding(place: int, other: int, kind: str, score: float, told: str) -> Finding:
        return Finding(name(place), kind, score, f"{told} {name(other)}", numbers[place], other=numbers[other])

    for copy, first in same:
        yield finding(copy, first, "duplicate", 1.0, "the same pixels as")
    for group in duplicates.grouped(near()):
        best = max(group, key=lambda place: (_pixels(looks[place]), -place))
        for place in group:
            if place != best:
                score = 1 - apart[place] / (2 * duplicates.NEAR)
                yield finding(place, best, "near-duplicate", score, "nearly the same as")
    for a, b, distance in sorted(duplicates.near(small, mirrored=True)):
        score = 1 - distance / (2 * duplicates.NEAR)
        yield finding(rest[b], rest[a], "mirrored", score, "the mirror image of")


def of_captions(entries: Sequence[Entry], numbers: Collection[int]) -> Iterator[Finding]:
    """What is wrong with captions as they read, of the samples with these numbers."""
    usual = usual_script(caption for entry in entries for caption in entry.captions)
    often = repeated(entries)
    for number in numbers:
        entry = entries[number]
        where = entry.picture.name
        for caption in entry.captions:
            if empty := boilerplate(caption, where):
                yield Finding(where, "boilerplate", empty[1], f"the caption is {empty[0]}", number, caption)
            elif caption in often:
                share = often[caption] / len(entries)
                told = f"it stands under {often[caption]:,} pictures"
                yield Finding(where, "repeated", min(1.0, 0.3 + share), told, number, caption)
            if spoilt := damage(caption):
                yield Finding(where, "encoding", spoilt.score, spoilt.reason, number, caption, spoilt.repaired)
            elif odd := foreign(caption, usual):
                yield Finding(where, "script", odd[1], odd[0], number, caption)


def of_lies(entries: Sequence[Entry], pairs: Sequence[Pair], judgement: Judgement) -> Iterator[Finding]:
    """The captions that the judgement names, with what fits better."""
    order = judgement.suspicion.argsort().argsort().float() / max(1, len(pairs) - 1)
    for place, (number, caption) in enumerate(pairs):
        if judgement.named[place]:
            better = judgement.better[place]
            told = f'fits better: "{better}"' if better else "captions of other pictures fit about as well"
            yield Finding(entries[number].picture.name, "lie", float(order[place]), told, number, caption)


def _pixels(look: Look) -> int:
    return look.size[0] * look.size[1] if look.size else 0


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 1 else "all"
