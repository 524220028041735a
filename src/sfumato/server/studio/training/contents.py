"""What is in data, told before anything is trained: how many, what captions say, some to look at, what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sfumato.data.entries import Entry
from sfumato.data.pictures import PictureError, to_image
from sfumato.data.report import Problem, Report
from sfumato.data.store import entries_of
from sfumato.evaluation.data_check.looking import opened
from sfumato.server.encoding import address
from sfumato.server.studio.training.places import require_bounded

SHOWN = 12  # pictures with captions
SIDE = 160  # pixels of each, at most
NAMED = 5  # files named for each kind of problem


@dataclass(frozen=True)
class Example:
    """A picture of the data with its first caption.

    Attributes:
        name: of its file.
        caption: the first.
        address: of the picture, small, which holds all of it.
    """

    name: str
    caption: str
    address: str


@dataclass(frozen=True)
class Trouble:
    """Problems of one kind: how many, and the first few files."""

    kind: str
    count: int
    names: tuple[str, ...]
    kept: bool


@dataclass(frozen=True)
class Contents:
    """What is in data.

    Attributes:
        pictures: how many have captions; 0 for those that are composed without end.
        captions: how many there are in all, and how many different ones.
        words: of a caption, on average.
        classes: the names of folders that are classes.
        examples: some pictures from all over.
        troubles: what is wrong, what is left out first, then the commonest.
    """

    pictures: int
    captions: int
    different: int
    words: float
    classes: int
    examples: tuple[Example, ...]
    troubles: tuple[Trouble, ...]


def contents(data: str) -> Contents:
    """Look into a folder, a tar or built-in data, without opening more than a few pictures. Takes a moment.

    Raises DataError when there is nothing usable; its message tells what was wrong.
    """
    if data == "scenes":
        return _scenes()
    if data != "digits":
        require_bounded(data)
    report = Report()
    entries = entries_of(data, report)
    texts = [text for entry in entries for text in entry.captions]
    examples = tuple(_examples(entries, report))
    return Contents(
        pictures=len(entries),
        captions=len(texts),
        different=len(set(texts)),
        words=sum(len(text.split()) for text in texts) / max(len(texts), 1),
        classes=len({entry.label for entry in entries} - {None}),
        examples=examples,
        troubles=_troubles(list(report)),
    )


def _examples(entries: Sequence[Entry], report: Report) -> list[Example]:
    found = []
    for number in np.linspace(0, len(entries) - 1, min(SHOWN, len(entries))).astype(int):
        entry = entries[number]
        try:
            picture = opened(entry)
        except PictureError as error:
            report.set_aside(entry.picture.name, str(error))
            continue
        found.append(Example(entry.picture.name, entry.captions[0], address(picture, SIDE, lossless=True)))
    return found


def _troubles(problems: Sequence[Problem]) -> tuple[Trouble, ...]:
    counts = Counter((problem.kind, problem.kept) for problem in problems)
    ordered = sorted(counts, key=lambda key: (key[1], -counts[key]))

    def names(kind: str, kept: bool) -> tuple[str, ...]:
        return tuple(one.where for one in problems if (one.kind, one.kept) == (kind, kept))[:NAMED]

    return tuple(Trouble(kind, counts[kind, kept], names(kind, kept), kept) for kind, kept in ordered)


def _scenes() -> Contents:
    import torch

    from sfumato.data.scenes.store import SceneStore
    from sfumato.training import recipe as recipes
    from sfumato.training.source import sprites_of

    data = recipes.load("scenes", size="tiny").data
    store = SceneStore(sprites_of(data), data.scenes, language=data.language, grid=data.grid)
    numbers = torch.arange(SHOWN)
    captions = store.captions(numbers)
    pictures = [address(to_image(picture), SIDE, lossless=True) for picture in store.batch(numbers, SIDE)]
    told = enumerate(zip(captions, pictures, strict=True))
    examples = tuple(Example(f"scene {number}", caption, picture) for number, (caption, picture) in told)
    words = sum(len(text.split()) for text in captions) / len(captions)
    return Contents(0, 0, 0, words, 0, examples, ())
