"""A network and its conditions as a Denoise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial

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
from sfumato.diffusion.levels import CLEAN, Level
from sfumato.diffusion.mixing import Weight, linear, spherical
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.steering import steered_at_estimate
from sfumato.errors import PromptError
from sfumato.pipelines.attached import Attached
from sfumato.pipelines.condition import Condition, mixed, together
from sfumato.pipelines.looking import look
from sfumato.pipelines.request import Request
from sfumato.pipelines.watching import Watch, telling, telling_rule

MOMENTUM = -0.5  # of adaptive projected guidance (Sadat et al. 2024)


def prompted(
    unet: nn.Module,
    diffusion: Diffusion,
    condition: Condition,
    empty: Condition,
    guidance: float,
    pictures_a_pass: int | None = None,
) -> Denoise:
    """A Denoise steered by a condition, with classifier-free guidance against that of the empty prompt, one for all.

    `guidance` 1 is the conditional model alone, in half the time. `pictures_a_pass` bounds how many pictures share a
    forward pass: with 1 every picture is computed in tensors of the same shapes whatever its batch, and so to the same
    bits; None computes all at once.
    """
    if guidance == 1:
        return diffusion.parameterisation.denoiser(_network(unet, [condition], pictures_a_pass))
    network = _network(unet, [condition, condition.saying(empty)], pictures_a_pass)
    return guided_in_one_pass(diffusion.parameterisation.denoiser(network), guidance)


def asked_for(
    unet: nn.Module,
    diffusion: Diffusion,
    branches: Sequence[tuple[Condition, Weight]],
    encode: Callable[[str, bool], Condition],
    plan: Request,
    levels: Level,
    likeness: Callable[[Tensor], Float[Tensor, " b"]] | None = None,
    pictures_a_pass: int | None = None,
    attached: Attached | None = None,
    watch: Watch | None = None,
) -> Denoise:
    """The Denoise of a request, made anew for every sampling run: its mixture of prompts, guided in its way.

    Args:
        unet, diffusion, pictures_a_pass: as in `prompted`.
        branches: of the prompts, with all else that is said, and their weights.
        encode: gives what another text says to one sample, (text, whether it is what to go away from).
        plan: what is asked for besides the prompts.
        levels: the timetable of the run.
        likeness: for guidance by CLIP, the log probability that clean latents (b, ...) show their prompts.
        attached: what is attached to the U-Net.
        watch: who looks on.

    Raises:
        PromptError: a prompt of several branches is to be mixed with others.
    """
    condition, _ = branches[0]
    parts, shares = _mixture(branches, encode, plan)
    whole = bool(torch.as_tensor(sum(shares) - 1).abs().max() < 1e-9)

    def denoiser(said: list[Condition], *, away: bool = False, blind: bool = False) -> Denoise:
        said = [*said, condition.saying(encode(plan.negative_prompt, True))] if away else said
        onlooker = None if blind else watch
        network = _network(unet, said, pictures_a_pass, blind=blind, attached=attached, away=away, watch=onlooker)
        if attached is None:
            return diffusion.parameterisation.denoiser(network)

        def denoise(noisy: Tensor, level: Level) -> Tensor:
            return diffusion.parameterisation.denoiser(partial(network, level=level))(noisy, level)

        return denoise

    def mixture(*, blind: bool = False) -> Denoise:
        if whole:
            return guided_in_one_pass(denoiser(parts, blind=blind), 1.0, shares[:-1])  # the last part has the rest of 1
        return guided_in_one_pass(denoiser(parts, away=True, blind=blind), 1.0, shares)

    alone, scale = mixture(), plan.scale
    if scale == 1 and plan.guidance != "cfg++":
        return telling(alone, watch)
    rule = telling_rule(_rule(plan, scale, levels), watch)
    if plan.guidance == "clip":
        assert likeness is not None
        steered = steered_at_estimate(telling(alone, watch), likeness, scale - 1)
    elif plan.guidance == "pag":
        steered = guided(alone, mixture(blind=True), rule)
    else:
        steered = guided_in_one_pass(denoiser(parts, away=True), rule, shares)
    if plan.guidance_interval is None:
        return steered
    low, high = plan.guidance_interval
    return within(steered, telling(alone, watch), low, math.inf if high is None else high)


def _mixture(
    branches: Sequence[tuple[Condition, Weight]], encode: Callable[[str, bool], Condition], plan: Request
) -> tuple[list[Condition], list[Weight]]:
    """The condition of every branch and its share; those of a mixture sum to 1."""
    if not plan.mix:
        return [condition for condition, _ in branches], [weight for _, weight in branches]
    if len(branches) > 1:
        raise PromptError("A prompt with AND has branches already; it cannot be mixed with others.")
    condition, _ = branches[0]
    parts = [condition, *(condition.saying(encode(text, False)) for text, _ in plan.mix)]
    weights = [weight for _, weight in plan.mix]
    shares = [1 - sum(weights) if sum(weights) < 1 or plan.mix_how != "spherical" else 0.0, *weights]
    if plan.mix_how == "branches":
        return parts, [*shares]
    return [mixed(parts, {"linear": linear, "spherical": spherical}[plan.mix_how], shares)], [1.0]


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
    unet: nn.Module,
    branches: list[Condition],
    pictures_a_pass: int | None,
    *,
    blind: bool = False,
    attached: Attached | None = None,
    away: bool = False,
    watch: Watch | None = None,
) -> Callable[..., Tensor]:
    """The network with its conditions bound; `away` says that the last branch is what to go away from.

    With something attached it takes the level too.
    """
    condition, batch = together(branches, torch.stack), len(branches[0])
    toward = torch.tensor([True] * (len(branches) - away) + [False] * away)

    def network(x: Tensor, label: Tensor, level: Level = CLEAN) -> Tensor:
        grid = (len(branches), batch)
        rows, labels = x.unflatten(0, grid), label.unflatten(0, grid)
        passes = []
        for some in torch.arange(batch).split(pictures_a_pass or batch):

            def of(each: Tensor) -> Tensor:
                return each[:, some].flatten(0, 1)  # noqa: B023

            noisy, told = of(rows), of(labels)
            said = condition.each(of).trimmed()
            unseeing = torch.ones(len(noisy), dtype=torch.bool, device=noisy.device) if blind else None
            extras = None
            if attached is not None:
                here = level if level.sigma.ndim == 0 else level[of(torch.arange(len(x)).unflatten(0, grid))]
                extras = attached.extras(noisy, told, said, here, toward.repeat_interleave(len(some)))
            size = (noisy.shape[-2], noisy.shape[-1])
            seen = watch.looking(unet, len(branches) - away, size, said.states.shape[1]) if watch else nullcontext()
            with seen:
                made = look(unet, noisy, told, said, unseeing, extras)
            passes.append(made.unflatten(0, (len(branches), -1)))
        return torch.cat(passes, dim=1).flatten(0, 1).to(x)

    return network
