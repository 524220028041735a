"""At which levels a sampling run stops on its way from noise to clean."""

from __future__ import annotations

import torch

from sfumato.diffusion.levels import CLEAN, Level, Process
from sfumato.diffusion.processes import Karras


def timetable(process: Process, steps: int) -> Level:
    """The levels of a sampling run: `steps` of them, evenly spaced in the process's time from t = 1, then clean.

    Returns a Level with fields of shape (steps + 1,). For beta tables this is the "trailing" spacing of Lin et al.
    2023, table 2; for `Karras` it is eq. 5 of Karras et al. 2022.
    """
    if steps < 1:
        raise ValueError(f"a timetable needs at least one step, not {steps}")
    last = 0.0 if isinstance(process, Karras) else 1 / steps
    levels = process(torch.linspace(1, last if steps > 1 else 1, steps, dtype=torch.float64))
    return Level(torch.cat([levels.alpha, CLEAN.alpha[None]]), torch.cat([levels.sigma, CLEAN.sigma[None]]))
