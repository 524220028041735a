"""Experts: several denoisers, each for its range of noise, as one Denoise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.parameterisation import Denoise

Expert = Callable[[Int64[Tensor, " rows"]], Denoise]
"""The numbers of some samples of the batch -> the expert as their Denoise, with the conditions of these samples."""


def experts(denoisers: Sequence[Expert], handovers: Level) -> Denoise:
    """Each sample goes to the expert of its level (Balaji et al. 2022, section 4.1).

    `denoisers` stand from clean to noise. `handovers` are the levels, (len(denoisers) - 1,) of any length, at which one
    hands over to the next: a sample with less signal than a hand-over goes past it. Samples of one batch may stand at
    different levels; only the experts that are needed look, at their own samples alone.
    """

    def denoise(noisy: Tensor, level: Level) -> Tensor:
        which = expert_of(level, handovers).expand(len(noisy))
        clean = torch.zeros_like(noisy)
        for number in which.unique().tolist():
            rows = (which == number).nonzero()[:, 0]
            some = level if level.alpha.ndim == 0 else level[rows]
            clean[rows] = denoisers[number](rows)(noisy[rows], some)
        return clean

    return denoise


def expert_of(level: Level, handovers: Level) -> Int64[Tensor, "*b"]:
    """The number, from 0, of the expert for each level."""
    return (level.log_snr[..., None] < handovers.log_snr.to(level.alpha.device)).sum(-1)
