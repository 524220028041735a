"""A network and its conditions as a Denoise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.checkpoints.scheduler import Diffusion
from sfumato.diffusion.guidance import (
    Momentum,
    Rule,
    guided,
    guided_in_one_pass,
    plus_plus,
    projected,
    rescaled,
    scaled,
    within,
)
from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixing import linear, spherical
from sfumato.diffusion.parameterisation import Denoise, Network
from sfumato.diffusion.steering import steered_at_estimate
from sfumato.pipelines.request import Request

MOMENTUM = -0.5  # of adaptive projected guidance (Sadat et al. 2024)


def prompted(
    unet: nn.Module,
    diffusion: Diffusion,
    states: Float[Tensor, "b ..."],
    empty: Float[Tensor, "..."],
    guidance: float,
    pictures_a_pass: int | None = None,
) -> Denoise:
    """A Denoise steered by text states, or a vector, with classifier-free guidance against those of the empty prompt.

    `guidance` 1 is the conditional model alone, in half the time. `pictures_a_pass` bounds how many pictures share a
    forward pass: with 1 every picture is computed in tensors of the same shapes whatever its batch, and so to the same
    bits; None computes all at once.
    """
    if guidance == 1:
        return diffusion.parameterisation.denoiser(_network(unet, states[None], pictures_a_pass))
    branches = torch.stack([states, empty.expand_as(states)])
    return guided_in_one_pass(diffusion.parameterisation.denoiser(_network(unet, branches, pictures_a_pass)), guidance)


def asked_for(
    unet: nn.Module,
    diffusion: Diffusion,
    states: Float[Tensor, "b ..."],
    encode: Callable[[str], Float[Tensor, "..."]],
    plan: Request,
    levels: Level,
    likeness: Callable[[Tensor], Float[Tensor, " b"]] | None = None,
    pictures_a_pass: int | None = None,
) -> Denoise:
    """The Denoise of a request, made anew for every sampling run: its mixture of prompts, guided in its way.

    Args:
        unet, diffusion, pictures_a_pass: as in `prompted`.
        states: of the prompts.
        encode: gives the states of another text.
        plan: what is asked for besides the prompts.
        levels: the timetable of the run.
        likeness: for guidance by CLIP, the log probability that clean latents (b, ...) show their prompts.
    """
    parts, shares = _mixture(states, encode, plan)

    def denoiser(contexts: list[Tensor], *, blind: bool = False) -> Denoise:
        return diffusion.parameterisation.denoiser(_network(unet, torch.stack(contexts), pictures_a_pass, blind=blind))

    def mixture(*, blind: bool = False) -> Denoise:
        return guided_in_one_pass(denoiser(parts, blind=blind), 1.0, shares[:-1])  # the last part has the rest of 1

    alone, scale = mixture(), plan.scale
    if scale == 1 and plan.guidance != "cfg++":
        return alone
    if plan.guidance == "clip":
        assert likeness is not None
        steered = steered_at_estimate(alone, likeness, scale - 1)
    elif plan.guidance == "pag":
        steered = guided(alone, mixture(blind=True), _rule(plan, scale, levels))
    else:
        negative = encode(plan.negative_prompt).expand_as(states)
        steered = guided_in_one_pass(denoiser([*parts, negative]), _rule(plan, scale, levels), shares)
    if plan.guidance_interval is None:
        return steered
    low, high = plan.guidance_interval
    return within(steered, alone, low, math.inf if high is None else high)


def _mixture(
    states: Float[Tensor, "b ..."], encode: Callable[[str], Float[Tensor, "..."]], plan: Request
) -> tuple[list[Tensor], list[float]]:
    """The text states of every branch and its share; the shares sum to 1."""
    parts = [states, *(encode(text).expand_as(states) for text, _ in plan.mix)]
    weights = [weight for _, weight in plan.mix]
    shares = [1 - sum(weights) if sum(weights) < 1 or plan.mix_how != "spherical" else 0.0, *weights]
    if not plan.mix or plan.mix_how == "branches":
        return parts, shares
    way = {"linear": linear, "spherical": spherical}[plan.mix_how]
    each = [way(list(contexts), shares) for contexts in zip(*parts, strict=True)]  # the same bits in any batch
    return [torch.stack(each)], [1.0]


def _rule(plan: Request, scale: float, levels: Level) -> Rule:
    match plan.guidance:
        case "cfg++":
            rule = plus_plus(scale, levels)
        case "apg":
            rule = projected(scale, momentum=Momentum(MOMENTUM))
        case _:
            rule = scaled(scale)
    return rescaled(rule, plan.guidance_rescale) if plan.guidance_rescale else rule


def _network(
    unet: nn.Module, states: Float[Tensor, "branches b ..."], pictures_a_pass: int | None, *, blind: bool = False
) -> Network:
    branches, batch = states.shape[:2]

    def network(x: Tensor, label: Tensor) -> Tensor:
        grid = (branches, batch)
        rows, labels = x.unflatten(0, grid), label.unflatten(0, grid)
        dtype = next(unet.parameters()).dtype
        passes = []
        for some in torch.arange(batch).split(pictures_a_pass or batch):
            noisy, words = rows[:, some].flatten(0, 1).to(dtype), states[:, some].flatten(0, 1)
            unseeing = {"blind": torch.ones(len(noisy), dtype=torch.bool, device=noisy.device)} if blind else {}
            passes.append(unet(noisy, labels[:, some].flatten(), words, **unseeing))
        return torch.cat([made.unflatten(0, (branches, -1)) for made in passes], dim=1).flatten(0, 1).to(x)

    return network
