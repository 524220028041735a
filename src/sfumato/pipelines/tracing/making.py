"""Making a trace: a picture with a recorder beside it, and then small pictures of what was recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sfumato.data.pictures import to_image
from sfumato.errors import PromptError
from sfumato.pipelines.request import Request
from sfumato.pipelines.trace import Trace
from sfumato.pipelines.tracing.attention import shrunk
from sfumato.pipelines.tracing.recording import Kept, Recorder, Said, evenly
from sfumato.pipelines.tracing.steps import PICTURE_SIDE, Curves, TracedStep
from sfumato.pipelines.tracing.words import words_of
from sfumato.pipelines.ways.latents import Latents

if TYPE_CHECKING:
    from sfumato.pipelines.text_to_image import Pipeline

MOST_PARTED = 3  # steps of which the conditional and the unconditional estimate are decoded


def traced(pipeline: Pipeline, request: Request) -> Trace:
    """Make a picture, and keep how it emerges.

    Raises PromptError for a model that takes no noise out of latents or pixels.
    """
    way = pipeline.way
    if not isinstance(way, Latents):
        raise PromptError(f"{pipeline.model.name} makes pictures by {pipeline.model.way!r}, of which no trace is made.")
    reading = request.reading
    said = [
        Said(start, words_of(pipeline.model, request.prompt, replace(reading, step=start)))
        for start in reading.starts(request.prompt)
    ]
    recorder = Recorder(said)
    for step in pipeline.run([request], recorder):
        last = step
    levels = recorder.levels
    return Trace(
        request=request,
        recipe=pipeline.recipe(request),
        picture=last.pictures()[0],
        words=recorder.words,
        steps=_pictured(way, recorder.kept, len(levels) - 1),
        levels=Curves.of(*(_row(value) for value in (levels.alpha, levels.sigma))),
        final=_small_number(recorder.final),
        looks=recorder.looks,
    )


def _row(levels: Tensor) -> Float[np.ndarray, " levels"]:
    """The values of a timetable that is of one picture."""
    return levels.reshape(len(levels), -1)[:, 0].double().cpu().numpy()


def _pictured(way: Latents, kept: list[Kept], steps: int) -> tuple[TracedStep, ...]:
    """The steps with their small pictures, decoded in few batches."""
    noises = [_noise(one) for one in kept]
    clean = decoded(way, [one.clean for one in kept])
    noisy = decoded(way, [_thinned(one, noise, way.factor) for one, noise in zip(kept, noises, strict=True)])
    few = evenly(len(kept), MOST_PARTED)
    parted = [one for number, one in enumerate(kept, 1) if number in few and one.bad is not None]
    both = decoded(way, [part for one in parted for part in (one.good, one.bad) if part is not None])
    good, bad = ({one.step: picture for one, picture in zip(parted, both[first::2], strict=True)} for first in (0, 1))
    return tuple(
        TracedStep(
            step=one.step,
            steps=steps,
            alpha=float(one.level.alpha.reshape(-1)[0]),
            sigma=float(one.level.sigma.reshape(-1)[0]),
            noisy=_small_number(one.noisy),
            clean=_small_number(one.clean),
            noise=_small_number(noise),
            conditional=_small_number(one.good),
            unconditional=None if one.bad is None else _small_number(one.bad),
            noisy_picture=noisy[number],
            clean_picture=clean[number],
            conditional_picture=good.get(one.step),
            unconditional_picture=bad.get(one.step),
        )
        for number, (one, noise) in enumerate(zip(kept, noises, strict=True))
    )


def _noise(step: Kept) -> Float[Tensor, "1 c h w"]:
    """The noise that an estimate of the clean tells there is; 0 where the level has none."""
    at = step.level.like(step.noisy)
    return torch.where(at.sigma > 0, (step.noisy - at.alpha * step.clean) / at.sigma.clamp(min=1e-12), 0.0)


def _thinned(step: Kept, noise: Float[Tensor, "1 c h w"], factor: int) -> Float[Tensor, "1 c h w"]:
    """What a step began with at unit scale, as small as it is shown: an average would take its noise away."""
    at = step.level.like(step.noisy)
    clean = shrunk(step.clean, PICTURE_SIDE // factor)
    few = F.interpolate(noise, size=clean.shape[-2:], mode="nearest")
    return (at.alpha * clean + at.sigma * few) / torch.hypot(at.alpha, at.sigma)


@torch.inference_mode()
def decoded(way: Latents, latents: list[Tensor], passes: int = 8) -> list[Image.Image]:
    """Small pictures of latents; those of large ones are made of latents that are averaged first."""
    device, pictures = way.model.device, list[Image.Image]()
    for at in range(0, len(latents), passes):
        few = shrunk(torch.cat(latents[at : at + passes]), PICTURE_SIDE // way.factor)
        pictures += [to_image(picture) for picture in way.decode(few.to(device), pictures_a_pass=passes).cpu()]
    return pictures


def _small_number(latent: Float[Tensor, "1 c h w"]) -> Float[np.ndarray, "c h w"]:
    return latent[0].float().cpu().numpy().astype(np.float16)
