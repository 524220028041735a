"""Captions written anew: beside the old data, new ones that a captioner wrote, mixed with the old at a chosen rate."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sfumato.data.ahead import in_order
from sfumato.data.captions import clean
from sfumato.data.entries import Entry
from sfumato.data.pictures import PictureError, to_tensor
from sfumato.data.report import Report
from sfumato.data.store import entries_of
from sfumato.errors import DataError
from sfumato.evaluation.data_check.looking import square
from sfumato.evaluation.data_check.mending import Kept, require_free, write_linked
from sfumato.pipelines.language.captioning import LIKELIEST, CaptionModel
from sfumato.pipelines.language.choosing import Sampling
from sfumato.progress import Progress
from sfumato.seeds import derived_seed

TOGETHER = 64  # pictures that are captioned at a time


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
    sampling: Sampling = LIKELIEST,
    seed: int = 0,
    quiet: bool = False,
    workers: int | None = None,
) -> Recaptioned:
    """Write captioned pictures anew, all or nothing; the originals are read only.

    `out` then holds `metadata.jsonl` and `pictures/`, links to the originals, as training reads them. Each line also
    has `original`, the old captions, and `written`, the new one.

    Args:
        data: a folder or tar of captioned pictures, or "digits".
        out: a folder that is new or empty.
        model: who writes.
        share: of the pictures whose caption is the new one, 0 to 1; which ones, the seed decides.
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
    kept: list[Kept] = []
    chosen = 0
    with Progress(quiet) as progress:
        progress.begin("captions", len(entries))
        for number, written in _written(entries, model, sampling, seed, report, workers or os.cpu_count() or 1):
            progress.advance(number + 1)
            entry = entries[number]
            is_new = bool(written) and random.Random(derived_seed(seed, "recaption", number)).random() < share
            told = {"original": list(entry.captions), "written": written}
            kept.append(Kept(number, entry, (written,) if is_new else entry.captions, told))
            chosen += is_new
    if not kept:
        raise DataError(f"none of {len(entries):,} pictures can be opened. {report.summary()}")
    write_linked(out, kept)
    return Recaptioned(chosen, len(kept) - chosen, report)


def _written(
    entries: Sequence[Entry], model: CaptionModel, sampling: Sampling, seed: int, report: Report, workers: int
) -> Iterator[tuple[int, str]]:
    """The numbers of the pictures that can be opened, and what is written of each; the others go to the report."""
    waiting: dict[int, np.ndarray] = {}

    def captioned() -> Iterator[tuple[int, str]]:
        if waiting:
            seeds = [derived_seed(seed, "captions", number) for number in waiting]
            texts = model.caption(to_tensor(np.stack(list(waiting.values()))), sampling=sampling, seed=seeds)
            yield from zip(list(waiting), map(clean, texts), strict=True)
            waiting.clear()

    for number, (entry, seen) in enumerate(in_order(partial(square, side=model.side), entries, workers)):
        if isinstance(seen, PictureError):
            report.set_aside(entry.picture.name, str(seen))
            continue
        waiting[number] = seen
        if len(waiting) == TOGETHER:
            yield from captioned()
    yield from captioned()
