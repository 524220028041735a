"""Noise put back: wrappers around solvers without memory, and consistency sampling.

A wrapper needs a solver that remembers nothing, since the path behind a sample that has just got new noise is not its
own. Multistep solvers of the SDE are steps of their own, see `dpmpp`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.solvers.step import Memory, Solver, decay, where


def ancestral(solver: Solver, eta: float = 1.0) -> Solver:
    """Go further down than the next level, and back up to it by fresh noise.

    Around `euler` this is DDIM with eta (Song et al. 2021, eq. 12 and 16); with eta = 1 it is DDPM (Ho et al. 2020,
    algorithm 2): the posterior of any two levels (Kingma et al. 2021, eq. 25-28).
    """

    def step(
        denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
    ) -> tuple[Tensor, Memory]:
        back = (eta * (1 - decay(here, there).square()).clamp(min=0).sqrt()).clamp(max=1)
        down = Level(there.alpha, there.sigma * (1 - back.square()).sqrt())
        made, _ = solver(denoise, noisy, here, down, None, noise)
        return made + lay_out(there.sigma * back, noisy) * noise(noisy), None

    return step


def churned(
    solver: Solver, churn: float = 2**0.5 - 1, lowest: float = 0.0, highest: float = torch.inf, noise_std: float = 1.0
) -> Solver:
    """Raise the noise before each step (Karras et al. 2022, algorithm 2, with `heun`).

    Where sigma / alpha lies in [lowest, highest] it is raised by the factor 1 + churn; the paper's gamma, that is
    min(S_churn / steps, sqrt(2) - 1).
    """

    def step(
        denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
    ) -> tuple[Tensor, Memory]:
        s = here.sigma / here.alpha
        raised = here.sigma * (1 + churn * ((s >= lowest) & (s <= highest)))
        added = (raised.square() - here.sigma.square()).clamp(min=0).sqrt() * noise_std
        noisier = noisy + lay_out(added, noisy) * noise(noisy)
        return solver(denoise, noisier, Level(here.alpha, raised), there, None, noise)

    return step


def restarting(solver: Solver) -> Solver:
    """A solver for timetables that go back up (Xu et al. 2023, algorithm 1): such a step adds the noise of the way."""

    def step(
        denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
    ) -> tuple[Tensor, Memory]:
        up = decay(here, there) > 1
        if not bool(up.any()):
            return solver(denoise, noisy, here, there, memory, noise)
        kept = there.alpha / here.alpha
        added = (there.sigma.square() - (kept * here.sigma).square()).clamp(min=0).sqrt()
        raised = lay_out(kept, noisy) * noisy + lay_out(added, noisy) * noise(noisy)
        if bool(up.all()):
            return raised, None
        moved, _ = solver(denoise, noisy, here, where(up, here, there), None, noise)
        return torch.where(lay_out(up, noisy).bool(), raised, moved), None

    return step


def with_restarts(levels: Level, times: int = 2, low: float = 0.05, high: float = 0.4) -> Level:
    """A timetable that runs through its part with sigma / alpha in [low, high] `times` times more (Xu et al. 2023).

    A part of fewer than two levels is left alone.
    """
    s = levels.sigma / levels.alpha
    inside = torch.nonzero((s >= low) & (s <= high)).flatten()
    if len(inside) < 2:
        return levels
    part = torch.arange(int(inside[0]), int(inside[-1]) + 1)
    rows = torch.cat([torch.arange(int(part[-1]) + 1), part.repeat(times), torch.arange(int(part[-1]) + 1, len(s))])
    return levels[rows]


def with_boundary(denoise: Denoise, label: Callable[[Level], Tensor], data_std: float = 0.5) -> Denoise:
    """A Denoise that gives back its input at timestep 0, as networks of LCM are read (Luo et al. 2023, eq. 9).

    `label` is the timestep of a level; LCM counts it tenfold.
    """

    def bounded(noisy: Tensor, level: Level) -> Tensor:
        t = 10 * label(level).double()
        skip, out = data_std**2 / (t.square() + data_std**2), t / (t.square() + data_std**2).sqrt()
        return lay_out(skip, noisy) * noisy + lay_out(out, noisy) * denoise(noisy, level)

    return bounded


def consistency(
    denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
) -> tuple[Tensor, Memory]:
    """All the way to clean and back up by fresh noise (Song et al. 2023, algorithm 1; Luo et al. 2023, LCM).

    For denoisers that were distilled to say at any level where the path ends; others give blurred means.
    """
    return there.add_noise(denoise(noisy, here), noise(noisy)), None
