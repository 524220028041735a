"""A model of scenes, evaluated: its pictures judged, beside what real scenes and its autoencoder reach."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfumato import __version__
from sfumato.checkpoints.files import storage_errors, write_json, write_text
from sfumato.checkpoints.folder import load_lineage
from sfumato.data.pictures import from_images
from sfumato.data.scenes.language import LANGUAGES, Language
from sfumato.data.scenes.sprites import Pack, pack
from sfumato.data.scenes.stream import Scenes
from sfumato.errors import CheckpointError, DataError
from sfumato.evaluation.folders import usual_folder
from sfumato.evaluation.scene_benchmark import SIZE, Question, judge, questions, real_scenes, scores
from sfumato.evaluation.scene_variety import memorised, variety
from sfumato.evaluation.seeing.finding import Eye
from sfumato.pipelines.autoencoding import latents_of, pictures_of
from sfumato.pipelines.keepsake import save_picture
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.progress import Progress

COUNT = 24  # pictures of each category, seen and held out
PICTURES_A_PASS = 16
PROMPTS_AGAIN, SEEDS = 8, 4  # for variety
METRICS, FAULTS, PICTURES = "scenes.json", "faults.jsonl", "pictures"


class Evaluated(NamedTuple):
    """The numbers, as `scenes.json` holds them, and where that, the faults and the pictures lie."""

    metrics: dict[str, Any]
    folder: Path


def run(
    model: str,
    *,
    sprites: Path | None = None,
    count: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    out: Path | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> Evaluated:
    """Ask a model for scenes of every category and judge each picture.

    Args:
        model: As `find` knows it.
        sprites: The pack that it learned from; what the installed font draws, or shapes, if not given.
        count: Pictures of each category, seen and held out; 24 if not given.
        seed: Of the questions and of the first picture.
        steps, guidance: Of the making; else the model's own.
        out: Folder for scenes.json, faults.jsonl and the pictures; MODEL-evaluation if not given.
        device: "auto" is the GPU where there is one.
        quiet: Show no progress.

    Raises:
        CheckpointError: No such model, or it learned from other sprites.
        DataError: The sprites cannot be read.
    """
    began = time.monotonic()
    pipeline = Pipeline.load(model, device)
    pipeline.pictures_a_pass = max(PICTURES_A_PASS, pipeline.pictures_a_pass)
    known = sprites_of(pipeline, sprites)
    language, folder = language_of(pipeline, known), out or usual_folder(model)
    asked = questions(language, count or COUNT, seed)
    eye = Eye(known, SIZE, pipeline.model.device)
    settings = {"num_inference_steps": steps, "guidance_scale": guidance}
    with Progress(quiet) as progress:
        make = _maker(pipeline, settings, folder / PICTURES)
        kept: list[Tensor] = []

        def keep(prompts: list[str], seeds: list[int]) -> Tensor:
            kept.append(make(prompts, seeds))
            return kept[-1]

        progress.begin("scenes", len(asked))
        verdicts = list(judge(asked, keep, eye, known, progress.advance))
        ceilings = _ceilings(pipeline, asked, eye, known, progress)
        differs = _variety(_maker(pipeline, settings), asked, eye, progress)
        progress.say("Looking for copies among training scenes.")
        copies = memorised(torch.cat(kept), learned_from(pipeline, known, language))
    metrics = {
        "kind": "scenes",
        "sfumato_version": __version__,
        "model": {"name": pipeline.model.name, "fingerprint": pipeline.model.fingerprint()},
        "sprites": {"origin": known.origin, "concepts": len(known.concepts), "fingerprint": known.fingerprint},
        "settings": {"seed": seed, "count": count or COUNT, **settings},
        "pictures": len(asked),
        **scores(verdicts),
        "ceilings": ceilings,
        "variety": differs,
        "memory": copies._asdict(),
        "seconds": round(time.monotonic() - began, 1),
    }
    lines = "".join(json.dumps(verdict.told(known), ensure_ascii=False) + "\n" for verdict in verdicts)
    write_text(folder / FAULTS, lines)
    write_json(folder / METRICS, metrics)
    return Evaluated(metrics, folder)


def sprites_of(pipeline: Pipeline, path: Path | None = None) -> Pack:
    """The sprites that a model learned from, as its sfumato.json tells under "scenes".

    {"concepts": N, "sprites": fingerprint}: the first N concepts of the pack, and the fingerprint of these; all of the
    pack where nothing is told.

    Raises CheckpointError when the pack is another one.
    """
    told, whole = _told_of_scenes(pipeline), pack(path)
    number = told.get("concepts", len(whole.concepts))
    if not isinstance(number, int) or not 0 < number <= len(whole.concepts):
        raise CheckpointError(
            f"The model {pipeline.model.name} tells no number of concepts that {path or whole.origin} has: {told!r}."
        )
    known = whole.first(number)
    if told.get("sprites", known.fingerprint) not in (known.fingerprint, whole.fingerprint):
        raise CheckpointError(
            f"The model {pipeline.model.name} learned from other sprites than those of {path or whole.origin}. "
            "Name its own with --sprites FILE."
        )
    return known


def language_of(pipeline: Pipeline, known: Pack) -> Language:
    """What may be asked of a model: the language that its sfumato.json names under "scenes", else everything."""
    name = _told_of_scenes(pipeline).get("language", "full")
    if name not in list(LANGUAGES):
        raise CheckpointError(
            f"The model {pipeline.model.name} tells of a language {name!r:.100}; known are {', '.join(LANGUAGES)}."
        )
    return Language.named(name, known.concepts)


def learned_from(pipeline: Pipeline, known: Pack, language: Language) -> Scenes:
    """The scenes that a model learned from, by the recipe in its sfumato.json; what that leaves open is 0.

    Raises CheckpointError when no scenes can be of that recipe.
    """
    recipe = load_lineage(pipeline.model.folder).get("recipe", {})
    try:
        return Scenes(known, recipe.get("seed", 0), language=language, grid=recipe.get("data", {}).get("grid", 0))
    except (DataError, TypeError, AttributeError) as error:
        raise CheckpointError(f"The recipe in the sfumato.json of {pipeline.model.name} is none: {error}.") from error


def _told_of_scenes(pipeline: Pipeline) -> dict[str, Any]:
    told = load_lineage(pipeline.model.folder).get("scenes", {})
    if not isinstance(told, dict):
        raise CheckpointError(f"The sfumato.json of {pipeline.model.name} tells of scenes as {told!r:.100}.")
    return told


def _maker(
    pipeline: Pipeline, settings: dict[str, Any], folder: Path | None = None
) -> Callable[[list[str], list[int]], Tensor]:
    """From prompts and seeds to pictures, saved with their recipes where a folder is given."""
    if folder is not None:
        with storage_errors(folder):
            for file in folder.glob("scene-*.png"):
                file.unlink()
    done = 0

    def make(prompts: list[str], seeds: list[int]) -> Tensor:
        nonlocal done
        plan = pipeline.requests(prompts[0], 1, seeds[0], **settings)[0]
        requests = [replace(plan, prompt=prompt, seed=seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        for step in pipeline.run(requests):
            last = step
        pictures = last.pictures()
        for picture, request in zip(pictures if folder else (), requests, strict=False):
            save_picture(picture, folder / f"scene-{done:05}.png", pipeline.recipe(request))  # type: ignore[operator]
            done += 1
        return from_images(pictures)

    return make


def _ceilings(
    pipeline: Pipeline, asked: Sequence[Question], eye: Eye, known: Pack, progress: Progress
) -> dict[str, dict[str, float]]:
    """Overall scores of real scenes, and of these after the model's autoencoder."""
    real = real_scenes(asked, known, pipeline.base_size)
    makers = {"real": real}
    if "vae" in pipeline.model.parts:
        makers["autoencoder"] = lambda prompts, seeds: _there_and_back(pipeline, real(prompts, seeds))
    told = {}
    for name, make in makers.items():
        progress.begin(f"ceiling: {name}", len(asked))
        told[name] = scores(list(judge(asked, make, eye, known, progress.advance)))["overall"]
    return told


@torch.inference_mode()
def _there_and_back(pipeline: Pipeline, pictures: Tensor) -> Tensor:
    vae = pipeline.model.vae
    return pictures_of(vae, latents_of(vae, pictures.to(pipeline.model.device)), len(pictures)).float()


def _variety(
    make: Callable[[list[str], list[int]], Tensor], asked: Sequence[Question], eye: Eye, progress: Progress
) -> dict[str, float]:
    """How the pictures of a few prompts differ from seed to seed."""
    few = asked[:: max(1, len(asked) // PROMPTS_AGAIN)][:PROMPTS_AGAIN]
    progress.begin("other seeds", len(few))
    rows, sights = [], []
    for n, question in enumerate(few, 1):
        seeds = [question.seed + len(asked) * (again + 1) for again in range(SEEDS)]
        rows.append(make([question.prompt] * SEEDS, seeds))
        sights.append(eye(rows[-1]))
        progress.advance(n)
    return variety(torch.stack(rows), sights)._asdict()
