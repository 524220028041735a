"""A model's pictures beside real ones: made for their captions, looked at by a named network, told in numbers."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato import __version__
from sfumato.checkpoints.files import storage_errors, write_json
from sfumato.checkpoints.folder import load_lineage
from sfumato.data.pictures import from_images, grid, open_picture, to_image
from sfumato.errors import DataError
from sfumato.evaluation import scores
from sfumato.evaluation.feature_networks import OURS, feature_network
from sfumato.evaluation.features import FeatureNetwork
from sfumato.evaluation.folders import usual_folder
from sfumato.evaluation.measures import MEASURES
from sfumato.evaluation.real import Real, real_pictures
from sfumato.evaluation.there_and_back import Lossy, there_and_back
from sfumato.pipelines.keepsake import save_picture
from sfumato.pipelines.marks.sources import COMPOSITE, KEPT
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.progress import Progress

TOGETHER = 16  # pictures that are made at a time: on a CPU too, where that equals one by one up to rounding
PROMPTS_AGAIN = 8  # that are drawn with several seeds
COLUMNS = 8  # of the sheet
SHOWN = 32  # pictures on it, and as many real ones
METRICS, SHEET, PICTURES, RECONSTRUCTIONS = "metrics.json", "beside.png", "pictures", "reconstructions"


class Comparison(NamedTuple):
    """The numbers, as `metrics.json` holds them, and where it lies."""

    metrics: dict[str, Any]
    folder: Path


def compare(
    model: str,
    data: str | None = None,
    training: str | None = None,
    count: int | None = None,
    features: str = OURS,
    out: Path | None = None,
    *,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> Comparison:
    """Make pictures for the captions of real ones, and measure them beside these.

    Args:
        model: as `find` knows it.
        data: a folder or tar of captioned pictures, or "digits"; if not given, the digits for a model of them.
        training: the pictures that it learned from, to look for copies among.
        count: pictures to make; see `real_pictures`.
        features: see `feature_network`.
        out: folder for metrics.json, the pictures and a sheet; MODEL-evaluation if not given.
        seed: of the choice of pictures, and of the first one made.
        steps, guidance: of the making; else the model's own.
        device: "auto" is the GPU where there is one.
        quiet: show no progress.

    Returns:
        What was measured. On one CPU equal arguments give equal numbers.

    Raises:
        DataError: no usable pictures, or too few; CheckpointError: no such model or feature network.
    """
    began = time.monotonic()
    pipeline = Pipeline.load(model, device)
    pipeline.pictures_a_pass = max(TOGETHER, pipeline.pictures_a_pass)
    network = feature_network(features, pipeline.model.folder, pipeline.model.device)
    folder, source = out or usual_folder(model), _data_of(pipeline, data)
    settings = {"num_inference_steps": steps, "guidance_scale": guidance}
    with tempfile.TemporaryDirectory() as cache, Progress(quiet) as progress:
        real = real_pictures(source, training, pipeline.final_size, count, seed, Path(cache))
        requests = _requests(pipeline, real.captions, seed, settings)
        _forget_pictures(folder)
        made = scores.seen(_made(pipeline, requests, progress, folder / PICTURES), network)
        again = scores.seen(_made(pipeline, _other_seeds(requests), progress), network)
        progress.say(f"Measuring by {network.name}.")
        lossy = there_and_back(pipeline, real.pictures, folder / RECONSTRUCTIONS)
        told = _scores(real, made, again.features.unflatten(0, (-1, scores.SEEDS)), network, lossy)
        _save_sheet(folder, real)
        data_told = _told_of(real, source)
    metrics = {
        "kind": "general",
        "sfumato_version": __version__,
        "model": {"name": pipeline.model.name, "fingerprint": pipeline.model.fingerprint()},
        "features": {"name": network.name, "given": features, "width": made.features.shape[1], "side": network.side},
        "data": data_told,
        "settings": {"seed": seed, **{key: getattr(requests[0], key) for key in settings}},
        "seconds": round(time.monotonic() - began, 1),
        "scores": told,
    }
    write_json(folder / METRICS, metrics)
    return Comparison(metrics, folder)


def _data_of(pipeline: Pipeline, data: str | None) -> str:
    if data is not None:
        return data
    if load_lineage(pipeline.model.folder).get("data", {}).get("source") == "digits":
        return "digits"
    raise DataError(
        f"Name the pictures to compare the model {pipeline.model.name} with, as --data FOLDER: real ones with "
        "captions, best such as it never saw. A model of composed scenes is measured by --scenes, without data."
    )


def _requests(pipeline: Pipeline, captions: Sequence[str], seed: int, settings: dict[str, Any]) -> list[Request]:
    """A request for each caption, with the seeds seed, seed + 1, ..."""
    plan = pipeline.requests(captions[0], 1, seed, **settings)[0]
    return [replace(plan, prompt=caption, seed=seed + place) for place, caption in enumerate(captions)]


def _other_seeds(requests: Sequence[Request]) -> list[Request]:
    """The first few prompts, each with several seeds that no other request has."""
    first: dict[str, Request] = {}
    for request in requests:
        first.setdefault(request.prompt, request)
    few = list(first.values())[:PROMPTS_AGAIN]
    return [replace(one, seed=one.seed + len(requests) * (k + 1)) for one in few for k in range(scores.SEEDS)]


def _told_of(real: Real, source: str) -> dict[str, Any]:
    return {
        "source": Path(source).name,
        "fingerprint": real.pictures.store.fingerprint,
        "pictures": len(real.pictures),
        "known": len(real.known),
        "known_are": "training pictures" if real.trained_on else "other pictures of the data",
    }


def _forget_pictures(folder: Path) -> None:
    """Remove those of an earlier evaluation in the same place, which may have been more."""
    with storage_errors(folder):
        for pattern in (f"{PICTURES}/{'[0-9]' * 5}.png", f"{RECONSTRUCTIONS}/[0-9]-*.png"):
            for file in folder.glob(pattern):
                file.unlink()


def _made(
    pipeline: Pipeline, requests: Sequence[Request], progress: Progress, folder: Path | None = None
) -> Iterator[Float[Tensor, "b 3 h w"]]:
    """Pictures as they are made, a few at a time, each saved with its recipe where a folder is given."""
    progress.begin("pictures" if folder else "other seeds", len(requests))
    for first in range(0, len(requests), TOGETHER):
        some = requests[first : first + TOGETHER]
        for step in pipeline.run(some):
            last = step
        pictures = last.pictures()
        if folder:
            for place, (picture, request) in enumerate(zip(pictures, some, strict=True), first):
                save_picture(picture, folder / f"{place:05}.png", pipeline.recipe(request))
        progress.advance(first + len(some))
        yield from_images(pictures)


def _scores(
    real: Real, made: scores.Seen, seeds: Tensor, network: FeatureNetwork, lossy: Lossy | None
) -> dict[str, dict[str, float | None]]:
    """Each measure: its value for made pictures, and for real ones where that can be told."""
    given = scores.seen(real.pictures.batches(), network)
    known = replace(real.known, chosen=real.known.chosen[: len(real.pictures)])
    features = torch.cat([network(some) for some in known.batches()] or [given.features[:0]])
    small = torch.cat([scores.made_small(some) for some in real.known.batches()] or [given.small[:0]])
    found = {
        **scores.set_scores(made.features, given.features),
        **scores.word_score(made.features, real.captions, network),
        **(lossy._asdict() if lossy else {}),
        **scores.novelty_scores(made.small, small),
        **scores.diversity_scores(list(seeds)),
    }
    reachable = {
        **scores.reachable_scores(features, given.features),
        **scores.word_score(given.features, real.captions, network),
        **scores.novelty_scores(given.small, small),
        **scores.diversity_scores([given.features[places] for places in real.groups]),
    }
    return {
        key: {"value": _finite(found[key]), "real": _finite(reachable.get(key))} for key in MEASURES if key in found
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _save_sheet(folder: Path, real: Real) -> None:
    """The first pictures on one sheet: a row of real ones, below each the one that was made for its caption."""
    count = min(SHOWN, len(real.pictures))
    shown = []
    for first in range(0, count, COLUMNS):
        places = range(first, min(first + COLUMNS, count))
        chosen = torch.tensor([real.pictures.chosen[place] for place in places])
        shown += [to_image(picture) for picture in real.pictures.store.batch(chosen)]
        shown += [open_picture(folder / PICTURES / f"{place:05}.png") for place in places]
    sheet = grid(shown, columns=COLUMNS)
    save_picture(sheet, folder / SHEET, {KEPT: COMPOSITE})
