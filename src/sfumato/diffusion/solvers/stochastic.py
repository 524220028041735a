"""Noise put back: wrappers around solvers without memory.

A wrapper needs a solver that remembers nothing, since the path behind a sample that has just got new noise is not its
own. Multistep solvers of the SDE are steps of their own, see `dpmpp`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.solvers.step import Memory, Solver, decay


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
