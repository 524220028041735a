"""UniPC: a multistep predictor, and a corrector that costs nothing (Zhao et al. 2023)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.solvers.adams import History, correction, integrals, recalled, remembered
from sfumato.diffusion.solvers.dpmpp import exponential_step
from sfumato.diffusion.solvers.step import Solver, decay

EXACT = integrals(lambda u, here, there: (u - there).exp())


class Left(NamedTuple):
    """UniPC's memory: where the last step began, corrected, and the clean estimates up to there."""

    noisy: Tensor
    history: History


def unipc(order: int = 2, variant: Literal["bh1", "bh2"] = "bh2") -> Solver:
    """UniPC-p (Zhao et al. 2023) of order 2 or 3: one evaluation a step, an order of accuracy one higher (theorem 3.1).

    The estimate at the end of a step is used twice: to correct that step (UniC, algorithm 1) and to begin the next
    (UniP, algorithm 2). Both integrate polynomials in log SNR; where the paper leaves a weight to the choice of B(h),
    in the predictor of order 2 and the corrector of order 1, it is h for `bh1` and e^h - 1 for `bh2` (with h < 0).
    """
    if order not in (2, 3):
        raise ValueError(f"UniPC has order 2 or 3, not {order}")

    def b(here: Level, there: Level) -> Tensor:
        """-B(-h)."""
        return 1 - decay(here, there) if variant == "bh2" else there.half_log_snr - here.half_log_snr

    def predicted(noisy: Tensor, clean: Tensor, history: History, here: Level, there: Level) -> Tensor:
        places, at, to = [before.level.half_log_snr for before in history], here.half_log_snr, there.half_log_snr
        candidates = [[-b(here, there) / 2 * (to - at) / (at - places[0])]]
        candidates += [EXACT(places[:k], at, to) for k in range(2, order)]
        differences = [before.value - clean for before in history]
        change = correction(differences, candidates)
        return exponential_step(noisy, clean, here, there, 0) + there.like(noisy).alpha * change

    def corrected(left: Left, noisy: Tensor, clean: Tensor, here: Level) -> Tensor:
        begin, *earlier = left.history
        places = [before.level.half_log_snr for before in earlier]
        at, to = begin.level.half_log_snr, here.half_log_snr
        simple = b(begin.level, here) / 2
        candidates = [[simple]] + [EXACT([to, *places[:k]], at, to) for k in range(1, order)]
        differences = [clean - begin.value, *(before.value - begin.value for before in earlier)]
        change = correction(differences, candidates)
        made = exponential_step(left.noisy, begin.value, begin.level, here, 0) + here.like(noisy).alpha * change
        return torch.where(made.isfinite(), made, noisy)  # no last step, no correction

    def step(
        denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Left | None, noise: Noise
    ) -> tuple[Tensor, Left]:
        clean = denoise(noisy, here)
        left = memory or Left(noisy, recalled(None, here, clean, order))
        noisy = corrected(left, noisy, clean, here)
        made = predicted(noisy, clean, left.history, here, there)
        return made, Left(noisy, remembered(left.history, here, clean))

    return step
