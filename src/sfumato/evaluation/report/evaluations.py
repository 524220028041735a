"""Evaluations that lie beside a model: their numbers, pictures and reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sfumato.checkpoints.files import read_json
from sfumato.data.pictures import PictureError, open_picture
from sfumato.errors import CheckpointError, PromptError
from sfumato.pipelines.keepsake import read_recipe

GENERAL, SCENES = "general", "scenes"
MOST_FILES = 400  # that are looked through


@dataclass(frozen=True)
class Sample:
    """A made picture and what was asked for."""

    picture: Image.Image
    prompt: str
    seed: int | None


@dataclass(frozen=True)
class Evaluation:
    """One folder that `sfumato evaluate` wrote; `metrics` by their kind, "general" or "scenes"."""

    folder: Path
    metrics: dict[str, dict[str, Any]]

    def samples(self, most: int) -> list[Sample]:
        """Pictures with their prompts, different prompts first. Those that carry no recipe are left out."""
        files = sorted(self.folder.glob("pictures/*.png"))[:MOST_FILES]
        first: dict[str, Sample] = {}
        later: list[Sample] = []
        for sample in filter(None, map(_sample, files)):
            if len(first) == most:
                break
            if first.setdefault(sample.prompt, sample) is not sample:
                later.append(sample)
        return [*first.values(), *later][:most]

    def reconstructions(self) -> list[tuple[Image.Image, Image.Image]]:
        """Real pictures, and the same after the autoencoder."""
        pairs = []
        for original in sorted(self.folder.glob("reconstructions/*-original.png"))[:12]:
            again = original.with_name(original.name.replace("-original", "-again"))
            if again.is_file():
                pairs.append((_opened(original), _opened(again)))
        return [(a, b) for a, b in pairs if a and b]


def evaluations(model: Path, usual: Path, given: Sequence[Path]) -> list[Evaluation]:
    """Those that are given; else that in the model's folder, and that in the `usual_folder` of its evaluations.

    Raises CheckpointError when a given folder holds none.
    """
    looked = given or [model / "evaluation", usual]
    found = [Evaluation(folder, _metrics(folder)) for folder in looked]
    for one in found:
        if given and not one.metrics:
            raise CheckpointError(f"{one.folder} holds no evaluation: no JSON file in it was written by evaluate.")
    return [one for one in found if one.metrics]


def _metrics(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*.json")):
        told = read_json(file)
        if told.get("kind") in (GENERAL, SCENES):
            found.setdefault(told["kind"], told)
    return found


def _sample(file: Path) -> Sample | None:
    try:
        request = read_recipe(file).get("request")
    except PromptError:
        return None
    picture = _opened(file)
    if picture is None or not isinstance(request, dict) or not isinstance(request.get("prompt"), str):
        return None
    seed = request.get("seed")
    return Sample(picture, request["prompt"], seed if isinstance(seed, int) else None)


def _opened(file: Path) -> Image.Image | None:
    try:
        return open_picture(file)
    except PictureError:
        return None
