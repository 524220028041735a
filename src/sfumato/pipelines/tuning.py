"""Times tuned to a model: found by trying them on its own pictures, and kept in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import torch

from sfumato.checkpoints.steps import write_steps
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.times import timetable
from sfumato.diffusion.tuning import Told, Tuning, tune
from sfumato.errors import PromptError
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import Request
from sfumato.pipelines.steps import process_of
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.ways.latents import Latents
from sfumato.pipelines.ways.way import Batch


def known_prompts(model: Model, count: int) -> list[str]:
    """Up to `count` words of the training captions, from their rarer half: the commonest ones are in every caption.

    Empty when the model does not tell them.
    """
    words = model.tokenizer.words
    rare = words[len(words) // 2 :]
    return rare[:: max(1, len(rare) // count)][:count]


def tune_steps(
    pipeline: Pipeline, plan: Request, prompts: Sequence[str], pictures: int, budget: int, tell: Told | None = None
) -> Tuning:
    """Find good times for the solver, number of steps and guidance of `plan`, at the size the model was trained for.

    They are tried on `pictures` pictures of the prompts in turn, with the seeds plan.seed, plan.seed + 1, ... See
    `sfumato.diffusion.tuning.tune` for the method and the budget. Raises PromptError when there are no prompts.
    """
    if not prompts:
        raise PromptError("Tuning needs prompts: what the model is to paint while its steps are tried.")
    model = pipeline.model
    way = pipeline.way
    if not isinstance(way, Latents):
        raise PromptError(f"The steps of {model.name} cannot be tuned: it has no denoiser of latents or pixels.")
    if plan.guidance in ("cfg++", "apg"):  # the one needs to know the steps, the other remembers those before
        raise PromptError(f"{plan.guidance} depends on the steps, which are to be found; tune with another guidance.")
    side = way.base_size // way.factor
    process, shown = process_of(model, (side, side)), list(islice(cycle(prompts), pictures))
    with torch.inference_mode():
        batch = Batch(shown, range(plan.seed, plan.seed + pictures), way.base_size, way.base_size, plan, pictures)
        denoise = way.steered(way.encode(shown), batch, timetable(process, plan.num_inference_steps))
        sample = torch.empty(pictures, model.sample_channels, side, side, device=model.device)
        noise = per_sample_noise(range(plan.seed, plan.seed + pictures))(sample)
        return tune(denoise, process, plan.method, plan.num_inference_steps, noise, budget, tell)


def keep(path: Path, model: Model, plan: Request, tuning: Tuning) -> None:
    """Write the times that were found, with how they were found, where `settled` looks for them."""
    best = min(tuning.named, key=lambda name: tuning.named[name])
    facts = {
        "error": tuning.error,
        "best_named": best,
        "best_named_error": tuning.named[best],
        "guidance_scale": plan.guidance_scale,
        "seed": plan.seed,
        "model_fingerprint": model.fingerprint(),
    }
    write_steps(path, plan.solver, tuning.times.tolist(), facts)
