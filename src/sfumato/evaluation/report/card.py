"""All that a report tells of a model, found where it lies, or made now."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sfumato.checkpoints.folder import load_lineage
from sfumato.data.digits import WORDS
from sfumato.evaluation.folders import usual_folder
from sfumato.evaluation.report.evaluations import GENERAL, SCENES, Evaluation, Sample, evaluations
from sfumato.evaluation.report.limits import known_limits
from sfumato.evaluation.report.training_curves import Curves, training_curves
from sfumato.pipelines.facts import Facts, facts
from sfumato.pipelines.finding import called, find
from sfumato.pipelines.text_to_image import Pipeline

LONGEST_LINE = 2**16  # bytes of an entry of a training's pictures
MOST_ENTRIES = 2000  # that are looked through for captions


@dataclass(frozen=True)
class Card:
    """A model as a report shows it; what is not known is empty or None."""

    name: str
    facts: Facts
    lineage: dict[str, Any]
    samples: list[Sample]
    pairs: list[tuple[Image.Image, Image.Image]]  # real, and after the autoencoder
    curves: dict[str, Curves]  # of each stage
    general: dict[str, Any] | None  # metrics
    scenes: dict[str, Any] | None
    limits: list[str]


def card(
    model: str | None, evaluated: Sequence[Path] = (), prompts: Sequence[str] = (), most: int = 24, device: str = "auto"
) -> Card:
    """Gather it.

    Samples are those of the evaluations; pictures are made now where prompts are given or no evaluation has any, then
    for prompts that the model learned from, as far as they are known.

    Args:
        model: as `find` knows it.
        evaluated: folders of evaluations; see `evaluations`.
        prompts: to make pictures of.
        most: pictures to show.
        device: to make pictures on.

    Raises CheckpointError when there is no such model or evaluation.
    """
    path = find(model)
    folder = path if path.is_dir() else path.parent / path.stem
    lineage = load_lineage(path)
    name = str(lineage.get("name", called(model, path)))
    found = evaluations(folder, usual_folder(model), evaluated)
    samples = [] if prompts else [sample for one in reversed(found) for sample in one.samples(most)][:most]
    wanted = list(prompts) or ([] if samples else known_prompts(folder, lineage, most))
    if wanted:
        samples = _made(model, wanted[:most], device)
    return Card(
        name=name,
        facts=facts(model),
        lineage=lineage,
        samples=samples,
        pairs=next((pairs for one in found if (pairs := one.reconstructions())), []),
        curves=training_curves(folder, _stages(lineage)),
        general=_first(found, GENERAL),
        scenes=_first(found, SCENES),
        limits=known_limits(folder),
    )


def _stages(lineage: dict[str, Any]) -> list[str]:
    trained = lineage.get("training")
    return list(trained) if isinstance(trained, dict) else []


def known_prompts(model: Path, lineage: dict[str, Any], most: int) -> list[str]:
    """Different captions that the model learned from, where its data are the digits or its run folder is there."""
    data = lineage.get("data")
    if isinstance(data, dict) and data.get("source") == "digits":
        return [f"a handwritten {word}" for word in WORDS]
    captions: dict[str, None] = {}
    for file in sorted(model.glob("run/pictures/*/entries.jsonl")):
        with file.open("rb") as lines:
            for line in itertools.islice(iter(lambda: lines.readline(LONGEST_LINE), b""), MOST_ENTRIES):
                captions |= dict.fromkeys(_captions(line)[:1])
    every = list(captions)
    return every[:: max(1, len(every) // most)][:most]


def _captions(line: bytes) -> list[str]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return []
    captions = told.get("captions") if isinstance(told, dict) else None
    return [one for one in captions if isinstance(one, str)] if isinstance(captions, list) else []


def _made(model: str | None, prompts: Sequence[str], device: str) -> list[Sample]:
    """A picture of each prompt, all with the seed 0."""
    result = Pipeline.load(model, device)(prompts, seed=0)
    return [Sample(picture, prompt, 0) for picture, prompt in zip(result.pictures, prompts, strict=True)]


def _first(found: Sequence[Evaluation], kind: str) -> dict[str, Any] | None:
    return next((one.metrics[kind] for one in found if kind in one.metrics), None)
