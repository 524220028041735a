"""Guidance: functions from Denoise to Denoise."""

from __future__ import annotations

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.parameterisation import Denoise


def guided(good: Denoise, bad: Denoise, scale: float | Tensor) -> Denoise:
    """Away from `bad`, through `good`: bad + scale * (good - bad).

    Classifier-free guidance when `bad` knows no condition (Ho & Salimans 2022, eq. 6, with scale = 1 + w: scale 1 is
    the conditional model itself). The scale is a number or one per sample.
    """

    def denoise(noisy: Tensor, level: Level) -> Tensor:
        return _through(bad(noisy, level), good(noisy, level), scale)

    return denoise


def guided_in_one_pass(both: Denoise, scale: float | Tensor) -> Denoise:
    """`guided` with one forward pass: `both` denoises a doubled batch, good branch first, bad branch second."""

    def denoise(noisy: Tensor, level: Level) -> Tensor:
        good, bad = both(torch.cat([noisy, noisy]), level.repeat(2)).chunk(2)
        return _through(bad, good, scale)

    return denoise


def _through(bad: Tensor, good: Tensor, scale: float | Tensor) -> Tensor:
    return torch.lerp(bad, good, lay_out(scale, bad) if isinstance(scale, Tensor) else scale)
