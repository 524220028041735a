"""A degraded picture file, given back by a model of cold diffusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sfumato import __version__
from sfumato.data.pictures import PictureError, fit, open_picture, to_image, to_tensor
from sfumato.diffusion.sampling import last
from sfumato.errors import PromptError
from sfumato.pipelines.request import MOST_STEPS, require_text
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.ways.cold import Cold


@torch.inference_mode()
def restored(
    picture: Path,
    model: str | Path,
    severity: float,
    prompt: str = "",
    steps: int = 1,
    solver: str = "tacos",
    device: str = "auto",
) -> tuple[Image.Image, dict[str, Any]]:
    """The restored picture, at the model's size, and its recipe; see `Cold.restore` for the settings.

    Raises PromptError: the file is no picture, a setting is not valid, or the model is not one of cold diffusion.
    """
    if not isinstance(steps, int) or not 1 <= steps <= MOST_STEPS:
        raise PromptError(f"steps is a whole number from 1 to {MOST_STEPS}, not {steps!r}.")
    require_text(prompt)
    pipeline = Pipeline.load(model, device)
    way = pipeline.way
    if not isinstance(way, Cold):
        raise PromptError(f"{model} makes pictures by {pipeline.model.way!r}; only a model of cold diffusion restores.")
    try:
        degraded = to_tensor(fit(open_picture(picture), way.base_size))[None].to(pipeline.model.device)
    except PictureError as error:
        raise PromptError(f"{picture} is not a picture that can be restored: {error}") from error
    clean = last(way.restore(degraded, severity, [prompt], steps, solver))
    settings = {"severity": severity, "prompt": prompt, "steps": steps, "solver": solver}
    recipe = {
        "sfumato_version": __version__,
        "model": pipeline.model.source,
        "model_fingerprint": pipeline.model.fingerprint(),
        "restored": {"picture": picture.name, **settings},
    }
    return to_image(clean[0].float()), recipe
