"""Captions written anew: beside the old data, new ones that a captioner wrote, mixed with the old at a chosen rate."""

from __future__ import annotations

import os
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from sfumato.data.ahead import in_order
from sfumato.data.captions import clean
from sfumato.data.entries import Entry
from sfumato.data.pictures import PictureError, to_tensor
from sfumato.data.report import Report
from sfumato.data.store import entries_of
from sfumato.errors import DataError
from sfumato.evaluation.data_check.captioner import looked_at
from sfumato.evaluation.data_check.looking import square
from sfumato.evaluation.data_check.mending import Kept, require_free, write_linked
from sfumato.pipelines.language.captioning import LIKELIEST, CaptionModel
from sfumato.pipelines.language.choosing import Sampling
from sfumato.progress import Progress
from sfumato.seeds import derived_seed

TOGETHER = 64  # pictures that are captioned at a time, and captions that are scored


@dataclass(frozen=True)
class Recaptioned:
    """What was written: how many pictures have a new caption, how many keep theirs, and what could not be used."""

    new: int
    old: int
    report: Report


def recaption(
    data: str,
    out: Path,
    model: CaptionModel,
    share: float = 0.5,
    *,
    worst: bool = False,
    sampling: Sampling = LIKELIEST,
    seed: int = 0,
    quiet: bool = False,
    workers: int | None = None,
) -> Recaptioned:
    """Write captioned pictures anew, all or nothing; the originals are read only.

    `out` then holds `metadata.jsonl` and `pictures/`, links to the originals, as training reads them. Each line also
    has `original`, the old captions, and `written`, the new one, empty where none was.

    Args:
        data: a folder or tar of captioned pictures, or "digits".
        out: a folder that is new or empty.
        model: who writes.
        share: of the pictures whose caption is the new one, 0 to 1.
        worst: take those whose captions fit them worst, by the token of each that the model would expect least; else
            the seed decides which.
        sampling: how words are chosen.
        seed: of all choices.
        quiet: show no progress.
        workers: threads that open pictures; one for each core if not given.

    Raises:
        DataError: nothing usable, a share out of its range, or the place is not free; StorageError: it cannot be
            written.
    """
    if not 0 <= share <= 1:
        raise DataError(f"share={share!r} is out of its range: it is from 0, all old captions, to 1, all new ones.")
    if data == "scenes":
        raise DataError("Scenes are composed with captions that are true; name a folder or a tar.")
    require_free(out, data)
    report = Report()
    entries = entries_of(data, report)
    threads = workers or os.cpu_count() or 1
    kept: list[Kept] = []
    count = 0
    with Progress(quiet) as progress:
        chosen = _worst(entries, model, share, progress, threads) if worst else _some(len(entries), share, seed)
        progress.begin("captions", len(entries))
        for number, written in _written(entries, chosen, model, sampling, seed, report, threads):
            progress.advance(number + 1)
            entry = entries[number]
            told = {"original": list(entry.captions), "written": written}
            kept.append(Kept(number, entry, (written,) if written else entry.captions, told))
            count += bool(written)
    if not kept:
        raise DataError(f"none of {len(entries):,} pictures can be opened. {report.summary()}")
    write_linked(out, kept)
    return Recaptioned(count, len(kept) - count, report)


def _some(count: int, share: float, seed: int) -> set[int]:
    """The numbers of a share, by chance: each by its own."""
    return {
        number for number in range(count) if random.Random(derived_seed(seed, "recaption", number)).random() < share
    }


def _worst(entries: Sequence[Entry], model: CaptionModel, share: float, progress: Progress, workers: int) -> set[int]:
    """The numbers of the share whose captions fit worst; a picture is as good as the worst of its captions.

    Pictures that cannot be opened come last: nothing will be written of them.
    """
    pairs = [(number, text) for number, entry in enumerate(entries) for text in entry.captions]
    agreement = looked_at(model, "the captioner", entries, progress, workers)
    fit = torch.full((len(entries),), torch.inf)
    progress.begin("which fit worst", len(pairs))
    for first in range(0, len(pairs), TOGETHER):
        numbers, texts = zip(*pairs[first : first + TOGETHER], strict=True)
        pictures = torch.tensor(numbers)
        fit.scatter_reduce_(0, pictures, agreement(pictures, texts), "amin")
        progress.advance(min(first + TOGETHER, len(pairs)))
    fit[list(agreement.unseen)] = torch.inf
    return set(fit.argsort()[: round(share * len(entries))].tolist())


def _written(
    entries: Sequence[Entry],
    chosen: Collection[int],
    model: CaptionModel,
    sampling: Sampling,
    seed: int,
    report: Report,
    workers: int,
) -> Iterator[tuple[int, str]]:
    """The numbers of the pictures that can be opened, in their order, and what is written of the chosen ones.

    Those that cannot be opened go to the report.
    """
    waiting: dict[int, np.ndarray | None] = {}

    def captioned() -> Iterator[tuple[int, str]]:
        pictures = {number: seen for number, seen in waiting.items() if seen is not None}
        texts: dict[int, str] = {}
        if pictures:
            seeds = [derived_seed(seed, "captions", number) for number in pictures]
            several = model.caption(to_tensor(np.stack(list(pictures.values()))), sampling=sampling, seed=seeds)
            texts = dict(zip(pictures, map(clean, several), strict=True))
        yield from ((number, texts.get(number, "")) for number in waiting)
        waiting.clear()

    for number, (entry, seen) in enumerate(in_order(partial(square, side=model.side), entries, workers)):
        if isinstance(seen, PictureError):
            report.set_aside(entry.picture.name, str(seen))
            continue
        waiting[number] = seen if number in chosen else None
        if len(waiting) == TOGETHER:
            yield from captioned()
    yield from captioned()
