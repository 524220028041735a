"""Multistep solvers that extrapolate the noise: one evaluation a step, and a memory of earlier ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.solvers.adams import Before, History, correction, integrals, recalled, remembered
from sfumato.diffusion.solvers.step import Solver, estimate, where

IN_SIGMA = integrals(lambda u, here, there: torch.ones_like(u))
IN_LOG_SIGMA = integrals(lambda u, here, there: (u - there).exp())

# of the differences from the newest estimate, for equal steps (Hairer et al. 1993, table III.1.1)
ADAMS_BASHFORTH = ((-1 / 2,), (-16 / 12, 5 / 12), (-59 / 24, 37 / 24, -9 / 24))

FAR_OUT = 100.0  # sigma / alpha; the models that PNDM was made for begin at 15


def lms(order: int = 4) -> Solver:
    """Linear multistep: polynomials in sigma / alpha (k-diffusion's `lms`; Hairer et al. 1993, section III.5)."""

    def candidates(history: History, here: Level, there: Level) -> list[list[Tensor]]:
        s = [before.level.sigma / before.level.alpha for before in history]
        at, to = here.sigma / here.alpha, there.sigma / there.alpha
        found = [IN_SIGMA(s[:k], at, to) for k in range(1, order)]
        return [[there.alpha * weight for weight in weights] for weights in found]

    return _noise_multistep(order, candidates)


def deis(order: int = 3) -> Solver:
    """DEIS in log(sigma / alpha): the exponential integrator of Zhang & Chen 2023 (eq. 15, "rho-AB" with log rho)."""

    def candidates(history: History, here: Level, there: Level) -> list[list[Tensor]]:
        places, at, to = [-before.level.half_log_snr for before in history], -here.half_log_snr, -there.half_log_snr
        found = [IN_LOG_SIGMA(places[:k], at, to) for k in range(1, order)]
        return [[there.sigma * weight for weight in weights] for weights in found]

    return _noise_multistep(order, candidates)


def _noise_multistep(order: int, candidates: Callable[[History, Level, Level], list[list[Tensor]]]) -> Solver:
    if order < 2:
        raise ValueError(f"a multistep solver has an order of at least 2, not {order}")

    def step(
        denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: History | None, noise: Noise
    ) -> tuple[Tensor, History]:
        now = estimate(denoise, noisy, here)
        history = recalled(memory, here, now.noise, order - 1)
        differences = [before.value - now.noise for before in history]
        made = now.at(there) + correction(differences, candidates(history, here, there))
        return made, remembered(history, here, now.noise)

    return step


def pndm(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: History | None, noise: Noise
) -> tuple[Tensor, History]:
    """Order 2: pseudo numerical methods with linear multistep, PLMS (Liu et al. 2022, eq. 12 and 14).

    Adams and Bashforth's weights for equal steps, whatever the steps are. A sample without memory takes a second look
    at the end of its step and goes by the mean of both. Next to pure noise, where differences of noise estimates would
    be blown up beyond measure, Euler's step stays.
    """
    now = estimate(denoise, noisy, here)
    history = recalled(memory, here, now.noise, 3)
    differences = [before.value - now.noise for before in history]
    reach = torch.where(here.sigma < FAR_OUT * here.alpha, _reach(here, there), torch.nan)
    present = [before.level.alpha * 0 for before in history]  # not a number where an estimate is missing
    candidates = [[reach * w + present[k] for w in weights] for k, weights in enumerate(ADAMS_BASHFORTH)]
    end = now.at(there)
    made = end + correction(differences, candidates)
    new = present[0].isnan() & (there.sigma > 0)
    if bool(new.any()):
        place = where(new, there, here)
        change = estimate(denoise, torch.where(lay_out(new, noisy).bool(), end, noisy), place).noise - now.noise
        started = correction([change], [[torch.where(new, reach / 2, torch.nan)]])
        made = made + started
    return made, remembered(history, here, now.noise)


def gradient_estimation(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: History | None, noise: Noise, gamma: float = 2.0
) -> tuple[Tensor, History]:
    """The optimiser's view, well used: a step of gradient descent on the distance to the data.

    The noise estimate is the gradient of half the squared distance, by sigma (Permenter & Yuan 2024, section 3); its
    error is lowered by looking back: gamma noise_here + (1 - gamma) noise_before (their eq. 8, gamma = 2). gamma = 1.5
    would be Adams and Bashforth's weights, of order 2; other values have order 1 and do well at few steps.
    """
    now = estimate(denoise, noisy, here)
    (before,) = history = recalled(memory, here, now.noise, 1)
    weight = _reach(here, there) * (1 - gamma) + before.level.alpha * 0
    made = now.at(there) + correction([before.value - now.noise], [[weight]])
    return made, remembered(history, here, now.noise)


def descent(
    denoise: Denoise,
    noisy: Tensor,
    here: Level,
    there: Level,
    memory: History | None,
    noise: Noise,
    momentum: float = 0.3,
) -> tuple[Tensor, History]:
    """The optimiser's view, taken at its word: gradient descent on the noise, with momentum (Polyak 1964).

    The direction is a running mean of the noise estimates, momentum times the last direction and the rest the new
    estimate. It lags behind the path: order 1, with a larger error than Euler's step (momentum = 0).
    """
    now = estimate(denoise, noisy, here)
    (before,) = recalled(memory, here, now.noise, 1)
    there_is = lay_out(before.level.alpha.isfinite(), noisy).bool()
    direction = torch.where(there_is, torch.lerp(now.noise, before.value, momentum), now.noise)
    made = now.at(there) + correction([direction - now.noise], [[_reach(here, there)]])
    return made, (Before(here, direction),)


def _reach(here: Level, there: Level) -> Tensor:
    """How far a change of the noise estimate moves the data over a step: alpha_there * d(sigma / alpha)."""
    return there.sigma - there.alpha * here.sigma / here.alpha
