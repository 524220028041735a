"""Restart: part of the way is gone again, from fresh noise, so that errors of the estimates are forgotten."""

from __future__ import annotations

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.solvers.step import Memory, Solver, decay, where


def restarting(solver: Solver) -> Solver:
    """A solver for timetables that go back up (Xu et al. 2023, algorithm 1): such a step adds the noise of the way.

    The solver itself should draw no noise, and remember nothing, where samples of a batch go up at different steps.
    """

    def step(
        denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
    ) -> tuple[Tensor, Memory]:
        up, fresh = decay(here, there) > 1, noise(noisy)  # drawn at every step: a sample's noise is its own
        if not bool(up.any()):
            return solver(denoise, noisy, here, there, memory, noise)
        kept = there.alpha / here.alpha
        added = (there.sigma.square() - (kept * here.sigma).square()).clamp(min=0).sqrt()
        raised = lay_out(kept, noisy) * noisy + lay_out(added, noisy) * fresh
        if bool(up.all()):
            return raised, None
        moved, _ = solver(denoise, noisy, here, where(up, here, there), None, noise)
        return torch.where(lay_out(up, noisy).bool(), raised, moved), None

    return step


def with_restarts(levels: Level, times: int = 2, low: float = 0.05, reach: float = 8.0, steps: int = 3) -> Level:
    """A timetable (n,) that goes back up from its last level of at least `low`, and down again (Xu et al. 2023).

    Up to `reach` times that level's sigma / alpha, though not above where the timetable begins; down in `steps` steps
    of equal ratio; all of it `times` times.
    """
    s = levels.sigma / levels.alpha
    at = int((s >= low).sum()) - 1
    if at < 1:
        return levels
    top = min(float(s[at]) * reach, float(s[0]))
    down = torch.logspace(0, 1, steps + 1, base=float(s[at]) / top, dtype=s.dtype) * top
    again = Level(levels.alpha[at].expand(steps + 1), down * levels.alpha[at])  # any length of level is as good
    parts = [levels[: at + 1], *[again] * times, levels[at + 1 :]]
    return Level(torch.cat([part.alpha for part in parts]), torch.cat([part.sigma for part in parts]))
