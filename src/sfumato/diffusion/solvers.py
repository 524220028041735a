"""Solvers: each is one step from a level to the next, and nothing more.

    (denoise, noisy, here, there, memory, noise) -> (noisy at there, memory)

A step is pure: what it must remember it returns, its random numbers come from `noise`, and the levels may differ per
sample. Between two levels, if the estimates of clean data and noise stayed as they are, the data would move by

    d noisy = clean d alpha + noise d sigma

which holds for variance-preserving, exploding and straight-line processes alike, pure noise (alpha = 0) included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfumato.diffusion.levels import PURE_NOISE, Level
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise

Memory = Any
"""What a multistep solver knows of its earlier steps; None at the start."""

Solver = Callable[[Denoise, Tensor, Level, Level, Memory, Noise], tuple[Tensor, Memory]]


def noise_in(noisy: Tensor, clean: Tensor, level: Level) -> Tensor:
    """The noise that is in `noisy` if `clean` is the clean data; the level is laid out like them."""
    return (noisy - level.alpha * clean) / level.sigma


def euler(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
) -> tuple[Tensor, Memory]:
    """Order 1. DDIM with eta = 0 (Song et al. 2021, eq. 12), and the Euler step of rectified flow and EDM."""
    clean = denoise(noisy, here)
    here, there = here.like(noisy), there.like(noisy)
    return there.alpha * clean + there.sigma * noise_in(noisy, clean, here), None


def heun(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
) -> tuple[Tensor, Memory]:
    """Order 2, two evaluations, one in the step to clean (Karras et al. 2022, algorithm 1, for any process)."""
    clean = denoise(noisy, here)
    at, to = here.like(noisy), there.like(noisy)
    noise_here = noise_in(noisy, clean, at)
    guess = to.alpha * clean + to.sigma * noise_here
    arrives = there.sigma == 0
    if bool(arrives.all()):
        return guess, None
    # samples that arrive at clean take the guess; their second evaluation is asked at a level that exists
    inside = Level(torch.where(arrives, here.alpha, there.alpha), torch.where(arrives, here.sigma, there.sigma))
    clean_there = denoise(guess, inside)
    noise_there = noise_in(guess, clean_there, inside.like(noisy))
    mean_clean, mean_noise = (clean + clean_there) / 2, (noise_here + noise_there) / 2
    better = noisy + mean_clean * (to.alpha - at.alpha) + mean_noise * (to.sigma - at.sigma)
    return torch.where(to.sigma == 0, guess, better), None


class Before(NamedTuple):
    """The memory of `dpmpp_2m`: the last step's level, laid out like the batch, and its estimate of the clean data."""

    level: Level
    clean: Tensor


def dpmpp_2m(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Before | None, noise: Noise
) -> tuple[Tensor, Before]:
    """Order 2 with one evaluation: DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), its last step of order 1.

    No memory is the same as having come from pure noise: the extrapolation then has weight 0.
    """
    clean = denoise(noisy, here)
    here, there = here.like(noisy), there.like(noisy)
    before = memory or Before(PURE_NOISE.like(noisy), torch.zeros_like(clean))
    ratio = (there.log_snr - here.log_snr) / (here.log_snr - before.level.log_snr)
    ratio = torch.where(torch.isfinite(ratio), ratio, 0.0)  # the first step, and the step to clean
    estimate = torch.lerp(before.clean, clean, 1 + ratio / 2)
    shrink = there.sigma / here.sigma
    return shrink * noisy + (there.alpha - shrink * here.alpha) * estimate, Before(here, clean)


def ddpm(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
) -> tuple[Tensor, Memory]:
    """Ancestral sampling, which adds noise back (Ho et al. 2020, algorithm 2).

    The posterior q(noisy there | noisy here, clean) of any two levels (Kingma et al. 2021, eq. 25-28).
    """
    clean = denoise(noisy, here)
    here, there = here.like(noisy), there.like(noisy)
    kept = here.alpha / there.alpha
    added = here.sigma.square() - (kept * there.sigma).square()  # the variance that the forward process adds
    mean = (kept * there.sigma.square() * noisy + there.alpha * added * clean) / here.sigma.square()
    std = added.clamp(min=0).sqrt() * there.sigma / here.sigma
    return mean + std * noise(noisy), None


SOLVERS: dict[str, Solver] = {"ddpm": ddpm, "euler": euler, "ddim": euler, "heun": heun, "dpmpp-2m": dpmpp_2m}
"""Solvers by the names people type."""
