"""Regions: several estimates of a picture, each of which counts in its own part, and how it learns where that is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.parameterisation import Denoise


def alone_at_first(
    branches: Denoise,
    masks: Float[Tensor, "r 1 h w"],
    noise: Float[Tensor, "b c h w"],
    early: Callable[[Level], Tensor],
) -> Denoise:
    """Denoises r regions of b samples, then b samples as a whole, and what comes behind them.

    At early levels each region sees nothing around itself but an even ground, as noisy as the rest: what is to be seen
    has no other place to go (the bootstrapping of MultiDiffusion, Bar-Tal et al. 2023, section 5.2). The ground is the
    median of what the whole is thought to be, in the place of random colours, so that no box shows where it was.

    Args:
        branches: denoises the batch.
        masks: 1 in a region, 0 around it.
        noise: on the ground; the same at every level.
        early: at which levels, of any shape, a region sees itself alone.
    """

    def denoise(noisy: Tensor, level: Level) -> Tensor:
        estimate, here = branches(noisy, level), early(level)
        if not bool(here.any()):
            return estimate
        count = len(masks) * len(noise)
        those = level if level.sigma.ndim == 0 else level[:count]
        ground = estimate[count : count + len(noise)].flatten(2).median(-1).values[..., None, None]
        even = those.add_noise(ground.expand_as(noise).repeat(len(masks), 1, 1, 1), noise.repeat(len(masks), 1, 1, 1))
        around = 1 - masks.to(noisy).repeat_interleave(len(noise), 0)
        if here.ndim:
            around = around * here[:count].to(noisy)[:, None, None, None]
        return branches(torch.cat([torch.lerp(noisy[:count], even, around), noisy[count:]]), level)

    return denoise
