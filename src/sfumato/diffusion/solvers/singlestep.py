"""Solvers of order 2 that look twice within a step and remember nothing.

Each looks first where it stands, moves by Euler's step to a second place, looks there, and corrects Euler's step to the
end by the difference. The step to clean is Euler's: there is no second place of finite log SNR, and none is needed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.solvers.step import Estimate, Memory, decay, estimate, where

Correction = Callable[[Estimate, Level, Level], Tensor]
"""(second look minus first, here, there) -> what is added to Euler's step; levels are laid out like the batch."""


def heun(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
) -> tuple[Tensor, Memory]:
    """Order 2: the mean of the slopes at both ends (Karras et al. 2022, algorithm 1, for any process)."""
    return _second_look(denoise, noisy, here, there, there, lambda change, at, to: _along(change, at, to) / 2), None


def dpm2(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
) -> tuple[Tensor, Memory]:
    """Order 2: the slope in the middle of log SNR (Karras et al. 2022, appendix; DPM-Solver-2 of Lu et al. 2022a)."""
    return _second_look(denoise, noisy, here, there, halfway(here, there), _along), None


def dpmpp_2s(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
) -> tuple[Tensor, Memory]:
    """Order 2: DPM-Solver++(2S) (Lu et al. 2022b, algorithm 1 with r = 1/2)."""
    towards = there.alpha * (1 - decay(here, there))

    def correction(change: Estimate, at: Level, to: Level) -> Tensor:
        return towards.to(change.clean).reshape(to.alpha.shape) * change.clean

    return _second_look(denoise, noisy, here, there, halfway(here, there), correction), None


def halfway(here: Level, there: Level) -> Level:
    """The level in the middle of log SNR; the nearer end where that end's log SNR is infinite."""
    return Level((here.alpha * there.alpha).sqrt(), (here.sigma * there.sigma).sqrt())


def _along(change: Estimate, at: Level, to: Level) -> Tensor:
    """What a change of the estimates does over a whole step."""
    return change.clean * (to.alpha - at.alpha) + change.noise * (to.sigma - at.sigma)


def _second_look(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, place: Level, correction: Correction
) -> Tensor:
    first = estimate(denoise, noisy, here)
    end = first.at(there)
    arrives = there.sigma == 0
    if bool(arrives.all()):
        return end
    place = where(arrives, here, place)  # those that arrive at clean are asked at a level that exists
    second = estimate(denoise, first.at(place), place)
    change = Estimate(second.clean - first.clean, second.noise - first.noise)
    to = there.like(noisy)
    return torch.where(to.sigma == 0, end, end + correction(change, here.like(noisy), to))
