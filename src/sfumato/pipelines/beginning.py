"""What a denoiser of latents begins with, and sees beside the noise: nothing, a picture, or what of it stays."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.steering import keeping
from sfumato.errors import CheckpointError, PromptError
from sfumato.pipelines.autoencoding import latents_of
from sfumato.pipelines.canvas import canvas_of
from sfumato.pipelines.condition import Condition
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import Request

LITTLE_NOISE = 20  # of 1000 steps, on the small picture that an upscaler sees (as its makers do)


def sees(model: Model) -> str:
    """What the denoiser has channels for besides the noisy latents: "", "masked" (a picture's part), "small" (one)
    or "latents" (of one half as large).

    Raises CheckpointError when their number fits none of them.
    """
    if model.way == "pixels":
        return ""
    latents = model.vae.config.latent_channels
    known = {latents: "latents", 0: "", latents + 1: "masked", 3: "small"}
    more = model.sample_channels - latents
    if more not in known:
        raise CheckpointError(f"The denoiser of {model.name} sees {more} more channels, of what is not known.")
    return known[more]


def require_use_of_picture(model: Model, plan: Request) -> None:
    """Refuse a picture of which nothing would be seen but its size: PromptError."""
    looks = model.way in ("latents", "pixels") and sees(model)
    if plan.picture and not looks and not (plan.strength or plan.mask or plan.extend):
        raise PromptError(
            "picture does nothing without a strength, a mask or extend: say how much of it is made anew, such as a "
            "strength of 0.6."
        )


def pictured(model: Model, plan: Request, width: int, height: int) -> Float[Tensor, "1 c h w"]:
    """The latents of the picture that is given, as the mean of what the autoencoder sees in it."""
    return _encoded(model, canvas_of(plan, width, height).picture[None], plan)


def kept(denoise: Denoise, clean: Float[Tensor, "1 c h w"], plan: Request, width: int, height: int) -> Denoise:
    """A Denoise that keeps what the mask, or the extension, of a request leaves of the latents of its picture."""
    canvas = canvas_of(plan, width, height)
    if plan.extend is None:
        return keeping(denoise, clean, reduced(canvas.free, clean))
    free = F.interpolate(canvas.soft[None], size=clean.shape[-2:], mode="area").to(clean)
    return keeping(denoise, clean, free)


def begun(
    clean: Float[Tensor, "1 ..."] | None, plan: Request, levels: Level, noise: Float[Tensor, "b ..."]
) -> tuple[Float[Tensor, "b ..."], Level]:
    """Where to begin, and the levels from there on.

    Without a picture all is noise; with one it is as noisy as `plan.strength` says (Meng et al. 2021, section 3.2).
    """
    if clean is None or plan.strength in (None, 1):
        return noise * levels.spread[0].item(), levels
    steps = len(levels) - 1
    first = steps - min(steps, max(1, int(steps * plan.strength)))
    return levels[first].add_noise(clean.expand_as(noise), noise), levels[first:]


def looking(model: Model, condition: Condition, plan: Request, width: int, height: int, noise: Noise) -> Condition:
    """The condition with what the denoiser sees beside the noise; PromptError when it is not given.

    Args:
        model, plan: whose denoiser sees what `sees` says, of the picture that is asked for.
        condition: of the prompts.
        width, height: of the picture that is made, in pixels.
        noise: for the small picture that an upscaler sees.
    """
    seen = sees(model)
    if seen in ("small", "latents"):
        for name in ("mask", "strength", "extend"):
            if getattr(plan, name) is not None:
                raise PromptError(f"{name} does nothing with the model {model.name}, which enlarges; leave it out.")
    match seen:
        case "masked":
            return _masked(model, condition, plan, width, height)
        case "small":
            return _small(model, condition, plan, width, height, noise)
        case "latents":
            return _doubled(model, condition, plan, width, height)
    return condition


def _masked(model: Model, condition: Condition, plan: Request, width: int, height: int) -> Condition:
    """A mask, and the latents of what it leaves of the picture (Rombach et al. 2022, section 4.5)."""
    if plan.picture is None or (plan.mask is None and plan.extend is None):
        raise PromptError(f"The model {model.name} paints into a picture: it takes a picture and a mask, or extend.")
    canvas = canvas_of(plan, width, height)
    kept = _encoded(model, (canvas.picture * (1 - canvas.free))[None], plan)
    beside = torch.cat([reduced(canvas.free, kept), kept], dim=1)
    return replace(condition, beside=beside.expand(len(condition), -1, -1, -1))


def _small(model: Model, condition: Condition, plan: Request, width: int, height: int, noise: Noise) -> Condition:
    """The small picture, with a little noise on it (Ho et al. 2022, section 4)."""
    if plan.picture is None:
        raise PromptError(f"The model {model.name} enlarges pictures: it takes a picture.")
    small = plan.picture.pixels(width // model.vae.factor, height // model.vae.factor)
    small = small.to(model.device).expand(len(condition), -1, -1, -1)
    if model.low_resolution is None:
        raise CheckpointError(f"{model.folder / 'low_res_scheduler'} is missing: this is not a complete model folder.")
    level = model.low_resolution(torch.tensor((LITTLE_NOISE + 1) / 1000, dtype=torch.float64))
    labels = torch.full((len(condition),), LITTLE_NOISE, device=model.device)
    return replace(condition, beside=level.add_noise(small, noise(small)), labels=labels)


def _doubled(model: Model, condition: Condition, plan: Request, width: int, height: int) -> Condition:
    """The latents of a picture half as large, each of them four times."""
    if plan.picture is None:
        raise PromptError(f"The model {model.name} doubles pictures: it takes a picture.")
    least = 2 * model.unet.config.factor * model.vae.factor
    if min(width, height) < least:
        raise PromptError(
            f"The model {model.name} makes pictures of at least {least} pixels a side, not {width} x {height}."
        )
    small = _encoded(model, plan.picture.pixels(width // 2, height // 2)[None], plan)
    beside = F.interpolate(small, scale_factor=2, mode="nearest")
    return replace(condition, beside=beside.expand(len(condition), -1, -1, -1))


def reduced(free: Float[Tensor, "1 h w"], latents: Float[Tensor, "1 c h2 w2"]) -> Float[Tensor, "1 1 h2 w2"]:
    """A mask of pixels as one of latents."""
    return F.interpolate(free[None], size=latents.shape[-2:], mode="nearest").to(latents)


def _encoded(model: Model, pictures: Float[Tensor, "b 3 h w"], plan: Request) -> Float[Tensor, "b c h2 w2"]:
    if model.way == "pixels":
        return F.pixel_unshuffle(pictures.to(model.device), isqrt(model.sample_channels // 3))
    return latents_of(model.vae, pictures.to(model.device), plan.tiles)
