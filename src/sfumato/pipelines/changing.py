"""Prompts that change while a picture is made: a Denoise that listens to something else from step to step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor

from sfumato.diffusion.experts import experts
from sfumato.diffusion.levels import Level
from sfumato.diffusion.parameterisation import Denoise

KEPT = 2  # a solver that looks ahead asks for what is said in the next step, and comes back


def changing(said_at: Callable[[int], Denoise], starts: Sequence[int], levels: Level) -> Denoise:
    """The Denoise of what is said at each step.

    Which step it is the level tells, so that it does not matter how often a solver looks.

    Args:
        said_at: gives the Denoise of what is said from a step on; asked when that step has come.
        starts: the steps at which something else begins, from 0 rising.
        levels: of the steps, falling.
    """
    kept = lru_cache(KEPT)(said_at)

    def at(step: int, rows: Tensor) -> Denoise:
        return kept(step)

    later = torch.tensor(starts[:0:-1], dtype=torch.long)
    return experts([partial(at, step) for step in reversed(starts)], levels[later])
