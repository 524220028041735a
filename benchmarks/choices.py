"""Which denoiser learns scenes soonest? One choice at a time is changed, for the same seconds of one processor core.

    python benchmarks/choices.py [--seconds 400] [--only recipe AdamW ...] [--out runs/choices]

Autoencoder, CLIP and concepts are the default model's, and everything else is the recipe `scenes` of the size tiny,
whose learning rate falls to zero at the end of the seconds.

A choice is measured by what it leaves unknown of scenes that it has not seen, told their captions: half the integral of
its squared error over the signal-to-noise ratio, in nats of a latent (Guo, Shamai & Verdu 2005, eq. 1, and Kingma et
al. 2021, eq. 16). That can be compared whatever a network predicts and whichever levels it learned from. Noise above
0.7 hides what is where, so what is unknown there is *layout*; from 0.3 to 0.7 it is *detail*. *Words* is how much less
the error is with the caption than without at 0.98, where nothing is to be seen: what the words alone tell.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from choices_tried import routed, with_pictures
from sfumato.data.tokens import Tokenizer
from sfumato.diffusion.levels import Level
from sfumato.pipelines.finding import find
from sfumato.pipelines.looking import look
from sfumato.progress import Progress
from sfumato.training import loop
from sfumato.training import recipe as recipes
from sfumato.training.ema import Average
from sfumato.training.optimizers import build
from sfumato.training.recipe import Recipe
from sfumato.training.source import captions_of, open_store
from sfumato.training.stage import Draw, Stage
from sfumato.training.stages import builder
from sfumato.training.stages.denoiser import Objective, latents_of
from sfumato.training.state import State
from sfumato.training.team import joined
from sfumato.training.workshop import PictureWorkshop

PARTS = ("vae", "tokenizer", "clip_text_encoder", "image_encoder")
LEVELS = (0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.995)  # sigma of rectified flow
LAYOUT, WORDS = 0.7, 0.98
SCENES, TOGETHER = 512, 64  # that are measured; none of those that are learned from in the time
FIRST = 900_000
TRANSFORMER = ["denoiser.network=pixart", "denoiser.width=256", "denoiser.layers=6"]
CHOICES: dict[str, list[str]] = {
    "recipe": [],
    "words as fast": ["denoiser.words_rate=1"],
    "words rest": ["denoiser.train_words=false"],
    "half the rate": ["denoiser.learning_rate=1e-3"],
    "twice the rate": ["denoiser.learning_rate=4e-3"],
    "batches of 16": ["denoiser.batch=16"],
    "unshifted": ["denoiser.shift=1"],
    "uniform times": ["denoiser.times=uniform"],
    "AdamW": ["denoiser.optimizer=adamw", "denoiser.learning_rate=1e-3"],
    "wider middle": ["denoiser.channels=[64,192]"],
    "transformer": TRANSFORMER,
    "TREAD": TRANSFORMER,
    "joint attention": ["denoiser.network=sd3", "denoiser.width=256", "denoiser.layers=4"],
    "REPA": [],
    "perceptual": [],
}
AROUND = {"REPA": "aligned", "perceptual": "perceived"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=400, help="of one core, for each choice")
    arguments.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES), metavar="CHOICE")
    arguments.add_argument("--set", action="append", default=[], help="a value over every choice's, as in train")
    arguments.add_argument("--out", type=Path, default=Path("runs/choices"))
    given = arguments.parse_args()
    torch.set_num_threads(1)
    for part in PARTS:
        shutil.copytree(find("scenes") / part, given.out / part, dirs_exist_ok=True)
    for name in given.only:
        recipe = recipes.load("scenes", ["denoiser.steps=1000000", *CHOICES[name], *given.set], "tiny")
        for row in tried(name, recipe, given.out, given.seconds):
            with (given.out / "choices.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            numbers = (f"{key} {row[key]:>6,}" for key in ("parameters", "pictures", "layout", "detail", "words"))
            print(f"{row['choice']:<26}", *numbers, flush=True)


def tried(name: str, recipe: Recipe, out: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """A row of a choice, and one of its weights without averaging."""
    with joined(recipe.run) as team, Progress(quiet=True) as progress:
        store = open_store("scenes", recipe, out / "run", team, progress)
        tokenizer = Tokenizer.load(out / "tokenizer")
        workshop = PictureWorkshop(recipe, out, out / "run", team, progress, store, tokenizer, captions_of(store))
        stage = builder("denoiser", workshop)(recipe)
        objective: Any = stage.objective
        if name == "TREAD":
            routed(objective.network)
        if name in AROUND:
            stage = with_pictures(stage, workshop, AROUND[name])
        state = learned(stage, workshop, seconds)
        row = {
            "choice": name,
            "parameters": sum(parameter.numel() for parameter in objective.network.parameters()),
            "pictures": state.step * recipe.denoiser.batch,
            "seconds": seconds,
        }
        with state.average.in_place():
            yield row | unknown(objective, workshop)
        if name == "recipe":
            yield row | {"choice": "recipe, without averaging"} | unknown(objective, workshop)


def learned(stage: Stage, workshop: PictureWorkshop, seconds: float) -> State:
    """Train for so many seconds of a core; the learning rate falls by the time, not by the steps."""
    plan, recipe = workshop.recipe.denoiser, workshop.recipe
    state = State(stage.objective, build(stage.objective, plan), Average(stage.objective, plan.ema))
    began = time.process_time()
    while (gone := (time.process_time() - began) / seconds) < 1:
        batch = stage.batch(Draw(recipe.seed, "denoiser", state.step, plan.batch, workshop.team))
        at = plan.model_copy(update={"steps": max(state.step + 1, round(state.step / max(gone, 1e-3)))})
        loop.advance(state, stage.objective, batch, at, workshop.team)
    return state


@torch.no_grad()
def unknown(objective: Objective, workshop: PictureWorkshop) -> dict[str, Any]:
    """What is unknown of scenes that were not learned from."""
    scenes = list(torch.arange(FIRST, FIRST + SCENES).split(TOGETHER))
    clean = latents_of(workshop).some
    told, untold = (
        {sigma: error(objective, workshop, clean, scenes, sigma, hears) for sigma in LEVELS} for hears in (True, False)
    )
    size = clean(scenes[0])[0].numel()
    parts = {
        (low, high): size / 2 * (told[low] + told[high]) / 2 * (snr(low) - snr(high)) for low, high in pairwise(LEVELS)
    }
    return {
        "layout": round(sum(nats for (low, _), nats in parts.items() if low >= LAYOUT), 1),
        "detail": round(sum(nats for (low, _), nats in parts.items() if low < LAYOUT), 1),
        "words": round(untold[WORDS] - told[WORDS], 3),
        "errors": {str(sigma): round(value, 4) for sigma, value in told.items()},
    }


def snr(sigma: float) -> float:
    return ((1 - sigma) / sigma) ** 2


def error(
    objective: Objective, workshop: PictureWorkshop, clean: Any, scenes: list[Tensor], sigma: float, hears: bool
) -> float:
    """The mean squared error of estimates at a level, with captions or without."""
    total = 0.0
    for some in scenes:
        truth = clean(some).float()
        captions = workshop.captions.choose(some, torch.Generator().manual_seed(0))
        texts = workshop.captions.some(captions) if hears else [""] * len(some)
        noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(int(some[0])))
        level = Level(*torch.tensor([1 - sigma, sigma], dtype=torch.float64).expand(len(some), 2).unbind(1))
        with workshop.team.autocast():
            condition = objective.condition(workshop.tokenizer.encode(texts))
            denoise = objective.diffusion.parameterisation.denoiser(
                lambda x, label, said=condition: look(objective.network, x, label, said)
            )
            total += float((denoise(level.add_noise(truth, noise), level).float() - truth).square().mean()) * len(some)
    return total / sum(map(len, scenes))


if __name__ == "__main__":
    main()
