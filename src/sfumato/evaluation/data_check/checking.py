"""All pictures and captions of a data set looked at, and told of on one page."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.files import write, write_text
from sfumato.checkpoints.folder import has_part
from sfumato.data.ahead import in_order
from sfumato.data.entries import Entry
from sfumato.data.pictures import PictureError, to_tensor
from sfumato.data.report import Report
from sfumato.data.store import entries_of
from sfumato.devices import choose_device
from sfumato.errors import DataError
from sfumato.evaluation.data_check import judging
from sfumato.evaluation.data_check.agreement import Agreement, ClipAgreement
from sfumato.evaluation.data_check.captioner import looked_at
from sfumato.evaluation.data_check.findings import Finding, worst_first
from sfumato.evaluation.data_check.lies import ALTERED, Judgement, judged
from sfumato.evaluation.data_check.looking import Look, look, opened
from sfumato.evaluation.data_check.mending import mend, require_free
from sfumato.evaluation.data_check.overlays import LEARNED, Mark, edges_of, marks_in
from sfumato.evaluation.data_check.page import page
from sfumato.evaluation.feature_networks import feature_network
from sfumato.evaluation.features import TOGETHER, FeatureNetwork
from sfumato.pipelines.finding import embedded
from sfumato.pipelines.language.captioning import CaptionModel
from sfumato.progress import Progress
from sfumato.seeds import derived_seed

PAGE, FINDINGS = "report.html", "findings.jsonl"
SMALLEST = 64  # pixels of the shorter side
SHOWN = 200  # pictures on the page


@dataclass(frozen=True)
class Checked:
    """What was found, the worst first, and where it is told.

    Attributes:
        findings: all of them.
        entries: the samples, by whose numbers the findings speak.
        judgement: of the captions; None where nobody could judge them.
        folder: that of the page.
        kept, left_out: pictures in the cleaned data and not in them; None where none were asked for.
    """

    findings: list[Finding]
    entries: list[Entry]
    judgement: Judgement | None
    folder: Path
    kept: int | None = None
    left_out: int | None = None


@dataclass(frozen=True)
class Seen:
    """What is kept of those pictures that can be opened, in the order of their numbers; why others are `broken`."""

    numbers: list[int]
    broken: dict[int, str]
    looks: list[Look]
    features: Float[Tensor, "n d"] | None


def check(
    data: str,
    out: Path | None = None,
    fix: Path | None = None,
    *,
    model: str | None = None,
    captioner: str | None = None,
    lies: float | None = None,
    altered: int = ALTERED,
    smallest: int = SMALLEST,
    keep: Sequence[str] = (),
    shown: int = SHOWN,
    device: str = "auto",
    quiet: bool = False,
    workers: int | None = None,
) -> Checked:
    """Check a data set; `report.html` and `findings.jsonl` tell what was found.

    Args:
        data: a folder or tar of captioned pictures, or "digits".
        out: folder of the page; DATA-check if not given.
        fix: a new folder for cleaned data; see `mend`.
        model: whose CLIP sees whether captions fit: an embedded model's name, a model folder, a CLIP of transformers.
        captioner: a model folder whose captioner judges them too, beside the CLIP or alone.
        lies, altered: see `judged`.
        smallest: pixels of the shorter side below which a picture is tiny.
        keep: kinds of findings for which the cleaned data leave nothing out.
        shown: pictures on the page, at most.
        device: where the model computes.
        quiet: show no progress.
        workers: threads that open pictures; one for each core if not given.

    Raises:
        DataError: nothing usable, or the place for the cleaned data is not free or the page's;
        CheckpointError: no such model.
    """
    if data == "scenes":
        raise DataError("Scenes are composed as they are asked for; there is nothing to check. Name a folder or a tar.")
    folder = out or Path(f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', Path(data).resolve().name).strip('-.') or 'data'}-check")
    if fix:
        require_free(fix, data)
        if folder.resolve().is_relative_to(fix.resolve()):
            raise DataError(f"{fix} takes cleaned data alone, and the page goes to {folder}; name another folder.")
    report = Report()
    entries = entries_of(data, report)
    network, why_not = _network(model, device)
    teller = CaptionModel.load(captioner, device) if captioner else None
    threads = workers or os.cpu_count() or 1
    with Progress(quiet) as progress:
        marks = _marks(entries, threads)
        seen = _seen(entries, marks, network, progress, threads)
        findings = [*judging.unusable(report, entries, seen.broken), *judging.of_captions(entries, seen.numbers)]
        for number, each in zip(seen.numbers, seen.looks, strict=True):
            findings += judging.of_picture(number, entries[number], each, smallest)
        findings += judging.of_copies(entries, seen.looks, seen.numbers)
        judgement, pairs = None, [(n, text) for n in seen.numbers for text in entries[n].captions]
        agreements: list[Agreement] = [_agreement(network, seen)] if network else []
        if teller is not None:
            opened_ones = [entries[number] for number in seen.numbers]
            agreements.append(looked_at(teller, Path(captioner or "").name, opened_ones, progress, threads))
        if agreements:
            judgement = _judged(agreements, seen, pairs, lies, altered, progress)
            if judgement is None:
                why_not = "there are too few different captions to say which of them fit"
            else:
                findings += judging.of_lies(entries, pairs, judgement)
    findings = worst_first(findings)
    facts = [f"{len(seen.numbers):,} pictures", f"{len(pairs):,} captions", f"{len(findings):,} findings"]
    told = page(
        Path(data).name, facts, notes(judgement, why_not, [each.name for each in agreements]), findings, entries, shown
    )
    write_text(folder / PAGE, told)
    write(folder / FINDINGS, partial(_write_lines, findings=findings, entries=entries))
    kept, left_out = mend(fix, entries, findings, keep) if fix else (None, None)
    return Checked(findings, entries, judgement, folder, kept, left_out)


def _network(model: str | None, device: str) -> tuple[FeatureNetwork | None, str]:
    """Who sees pictures and reads captions; or why nobody does."""
    if model is None:
        return None, "no model was named (--model)"
    folder = Path(model)
    is_folder = model not in embedded() and folder.is_dir()
    if is_folder and not has_part(folder, "image_encoder") and not (folder / "config.json").is_file():
        return None, f"the model {folder.name} has no image encoder"
    network = feature_network(model, folder, choose_device(device))
    if network.read is None:
        return (
            None,
            f"{network.name} knows no words: a text encoder that meets the image encoder in one space is missing",
        )
    return network, ""


def _marks(entries: Sequence[Entry], workers: int) -> list[Mark]:
    """Marks learned from some of the pictures, chosen by the numbers of the set alone."""
    chance = random.Random(derived_seed(len(entries), "marks"))
    some = [entries[number] for number in sorted(chance.sample(range(len(entries)), min(LEARNED, len(entries))))]

    def edges(entry: Entry) -> np.ndarray | None:
        try:
            return edges_of(opened(entry))
        except PictureError:
            return None

    return marks_in([found for _, found in in_order(edges, some, workers) if found is not None])


def _seen(
    entries: Sequence[Entry],
    marks: Sequence[Mark],
    network: FeatureNetwork | None,
    progress: Progress,
    workers: int,
) -> Seen:
    """Look at all pictures once."""
    side = network.side if network else None
    numbers: list[int] = []
    broken: dict[int, str] = {}
    looks: list[Look] = []
    features: list[Tensor] = []
    waiting: list[np.ndarray] = []
    progress.begin("pictures", len(entries))

    def embed() -> None:
        if network and waiting:
            features.append(network(to_tensor(np.stack(waiting))))
            waiting.clear()

    for number, (_, found) in enumerate(in_order(partial(look, marks=marks, side=side), entries, workers)):
        progress.advance(number + 1)
        if isinstance(found, PictureError):
            broken[number] = str(found)
            continue
        numbers.append(number)
        looks.append(found.without_square())
        if found.seen is not None:
            waiting.append(found.seen)
        if len(waiting) == TOGETHER:
            embed()
    embed()
    if not numbers:
        name, reason = entries[0].picture.name, broken[0]
        raise DataError(f"none of {len(entries):,} pictures can be opened; {name}: {reason}")
    return Seen(numbers, broken, looks, torch.cat(features) if features else None)


def _agreement(network: FeatureNetwork, seen: Seen) -> ClipAgreement:
    def read(texts: list[str]) -> Tensor:
        found = network.of_texts(texts)
        assert found is not None
        return found

    assert seen.features is not None
    return ClipAgreement(network.name, seen.features, read)


def _judged(
    agreements: Sequence[Agreement],
    seen: Seen,
    pairs: Sequence[judging.Pair],
    lies: float | None,
    altered: int,
    progress: Progress,
) -> Judgement | None:
    place = {number: place for place, number in enumerate(seen.numbers)}
    pictures = torch.tensor([place[number] for number, _ in pairs], dtype=torch.int64)
    return judged(agreements, pictures, [text for _, text in pairs], lies, altered, progress=progress.of("captions"))


def notes(judgement: Judgement | None, why_not: str, judges: Sequence[str]) -> list[str]:
    """How far the captions were judged, and by whom, in sentences."""
    if judgement is None or not judges:
        return [f"Whether captions fit their pictures was not checked: {why_not}."]
    found = ", ".join(f"{share:.0%} of those with {kind}" for kind, share in judgement.found.items())
    told = [
        f"Captions were judged by {' and '.join(judges)}. Of lies made for trial the judge finds, by its own "
        f"estimate, {found}, where it accuses 5 % of the true ones."
    ]
    if not judgement.believed:
        told.append(
            "That is too little to name any unasked. --lies SHARE names so many all the same, the most suspicious."
        )
    elif judgement.named.any():
        told.append(
            f"About {judgement.share:.1%} of the captions are expected to lie; {int(judgement.named.sum()):,} are "
            "named, those with the most against them."
        )
    return told


def _write_lines(path: Path, findings: Sequence[Finding], entries: Sequence[Entry]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for finding in findings:
            told: dict[str, Any] = {key: value for key, value in asdict(finding).items() if value is not None}
            told.pop("picture", None)
            if finding.other is not None:
                told["other"] = entries[finding.other].picture.name
            file.write(json.dumps(told, ensure_ascii=False) + "\n")


def counted(findings: Sequence[Finding]) -> dict[str, int]:
    """How many there are of each kind, the commonest first."""
    return dict(Counter(finding.kind for finding in findings).most_common())
