"""What a solver is: one step from a level to the next, and nothing more.

    (denoise, noisy, here, there, memory, noise) -> (noisy at there, memory)

A step is pure: what it must remember it returns, its random numbers come from `noise`, and the levels may differ per
sample. Between two levels, if the estimates of clean data and noise stayed as they are, the data would move by

    d noisy = clean d alpha + noise d sigma

which holds for variance-preserving, exploding and straight-line processes alike, pure noise (alpha = 0) included.
That is Euler's step; every other solver is Euler's step and a correction made of differences of estimates. Where a
correction has no finite weight (the first step of a multistep solver, log SNR = -inf or +inf), Euler's step stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise

Memory = Any
"""What a multistep solver knows of its earlier steps; None at the start."""

Solver = Callable[[Denoise, Tensor, Level, Level, Memory, Noise], tuple[Tensor, Memory]]


class Estimate(NamedTuple):
    """What a Denoise says of noisy data: which clean data and which noise are in it, each (B, ...)."""

    clean: Tensor
    noise: Tensor

    def at(self, level: Level) -> Tensor:
        """The same data and noise at another level: Euler's step there."""
        level = level.like(self.clean)
        return level.alpha * self.clean + level.sigma * self.noise


def estimate(denoise: Denoise, noisy: Tensor, level: Level) -> Estimate:
    """Ask for the clean data in `noisy` at a level with sigma > 0; the rest is noise."""
    clean, here = denoise(noisy, level), level.like(noisy)
    return Estimate(clean, (noisy - here.alpha * clean) / here.sigma)


def decay(here: Level, there: Level) -> Tensor:
    """e^-h for the step h in log SNR: 0 from pure noise or to clean, 1 for no step, above 1 for a step back up.

    In float64, the levels' shape.
    """
    still = (here.alpha == 0) & (there.alpha == 0)
    ratio = here.alpha.double() * there.sigma.double() / (here.sigma.double() * there.alpha.double())
    return torch.where(still, 1.0, ratio)


def where(condition: Tensor, yes: Level, no: Level) -> Level:
    """`yes` for the samples for which the condition holds, `no` for the others."""
    return Level(torch.where(condition, yes.alpha, no.alpha), torch.where(condition, yes.sigma, no.sigma))


def euler(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
) -> tuple[Tensor, Memory]:
    """Order 1: the estimates stay as they are.

    It is DDIM with eta = 0 (Song et al. 2021, eq. 12), DPM-Solver++(1S) (Lu et al. 2022b, eq. 4.1 with k = 1), and the
    Euler step of EDM (Karras et al. 2022) and rectified flow (Liu et al. 2022).
    """
    return estimate(denoise, noisy, here).at(there), None
