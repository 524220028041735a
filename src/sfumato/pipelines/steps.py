"""At which levels a request is sampled: by a named spacing, at times of its own, or at times tuned to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sfumato.checkpoints.steps import FILE, read_steps, write_steps
from sfumato.diffusion.levels import Level, Process
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.solvers import SOLVERS
from sfumato.diffusion.times import SPACINGS, at_times, timetable
from sfumato.diffusion.tuning import Told, Tuning, tune
from sfumato.errors import PromptError
from sfumato.pipelines.denoising import prompted
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import Request

if TYPE_CHECKING:
    from sfumato.pipelines.text_to_image import Pipeline


def settled(model: Model, request: Request) -> Request:
    """The request with tuned times written into it, so that its picture depends on no file that may change.

    Raises CheckpointError when there are none for its solver and number of steps.
    """
    if request.times or request.spacing is None or request.spacing in SPACINGS:
        return request
    path = model.folder / FILE if request.spacing == "tuned" else Path(request.spacing)
    times = read_steps(path, request.solver, request.num_inference_steps, model.fingerprint())
    return replace(request, times=times)


def levels(model: Model, request: Request, size: tuple[int, int]) -> Level:
    """The timetable of a settled request whose latents have `size` (height, width)."""
    process = _process(model, size)
    if request.times:
        return at_times(process, torch.tensor(request.times, dtype=torch.float64))
    return timetable(process, request.num_inference_steps, SPACINGS[request.spacing or model.diffusion.spacing])


def _process(model: Model, size: tuple[int, int]) -> Process:
    patch = getattr(model.unet.config, "patch_size", 1)
    return model.diffusion.process_for(size[0] * size[1] // patch**2)


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
    side = model.base_size // model.vae.factor
    with torch.inference_mode():
        states = pipeline.encode(list(islice(cycle(prompts), pictures)))
        denoise = prompted(model.unet, model.diffusion, states, pipeline.encode([""])[0], plan.guidance_scale)
        sample = torch.empty(pictures, model.unet.config.in_channels, side, side, device=model.device)
        noise = per_sample_noise(range(plan.seed, plan.seed + pictures))(sample)
        solver = SOLVERS[plan.solver]
        return tune(denoise, _process(model, (side, side)), solver, plan.num_inference_steps, noise, budget, tell)


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
