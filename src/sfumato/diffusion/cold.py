"""Cold diffusion: the sampling loop with another degradation than noise (Bansal et al. 2022).

A severity s is the level Level(1 - s, s): s of the way from clean to nothing. A restorer, which gives back the clean
picture from a degraded one and its severity, is then a Denoise, and what takes one of those takes the other: timetables
(`timetable(SEVERITY, steps)`), the loop, guidance. Only the step between two severities is another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sfumato.diffusion.degradation import Degradation
from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise, Habits, Parameterisation, flow_time
from sfumato.diffusion.processes import Flow
from sfumato.diffusion.solvers.step import Memory, Solver

SEVERITY = Flow()
"""severity -> level, and `SEVERITY.time`: level -> severity."""


def correction(level: Level) -> Habits:
    """The network predicts what was taken away, clean - degraded; it sees the degraded picture as it is."""
    one = torch.ones_like(level.sigma)
    return Habits(one, one, one)


RESTORER = Parameterisation(correction, flow_time)
"""How a restoring network is read: its label is 1000 * severity."""


def naive(degrade: Degradation) -> Solver:
    """Degrade the estimate again, less (Bansal et al. 2022, algorithm 1): errors of the estimate add up.

    The remainder, what the estimate does not explain of the degraded picture, is dropped.
    """
    return _step(degrade, lambda here, there: torch.zeros_like(there))


def tacos(degrade: Degradation) -> Solver:
    """Transformation-agnostic cold sampling (Bansal et al. 2022, algorithm 2): the remainder is kept.

        x_t = x_s - D(clean, s) + D(clean, t)

    Exact for any estimate where D(x, s) = x + s e (their section 3.3).
    """
    return _step(degrade, lambda here, there: torch.ones_like(there))


def melting(degrade: Degradation) -> Solver:
    """The remainder is noise that came in with the severity, and leaves with it.

        x_t = D(clean, t) + t / s (x_s - D(clean, s))

    For data degraded to D(x, s) + s noise this is DDIM's step (Song et al. 2021, eq. 12): the noise is the remainder
    over s, and stays as it is. With D(x, s) = (1 - s) x it is the Euler step of rectified flow, with blur that of
    blurring diffusion (Hoogeboom & Salimans 2022).
    """
    return _step(degrade, lambda here, there: there / here)


def _step(degrade: Degradation, kept: Callable[[Tensor, Tensor], Tensor]) -> Solver:
    """The step between two severities that keeps a share of the remainder: `kept(here, there)`."""

    def solver(
        restore: Denoise, degraded: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
    ) -> tuple[Tensor, Memory]:
        clean = restore(degraded, here)
        before, after = SEVERITY.time(here), SEVERITY.time(there)
        remainder = degraded - degrade(clean, before)
        return degrade(clean, after) + lay_out(kept(before, after), degraded) * remainder, None

    return solver
