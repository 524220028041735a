"""What a network predicts instead of the clean data, and what it is told of the level: four numbers per level.

    estimate of clean = skip * noisy + out * network(scale * noisy, label)

This is table 1 of Karras et al. 2022 (c_skip, c_out, c_in, c_noise) for every kind of network; nothing else in the
library knows these habits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sfumato.diffusion.levels import Level, Process, lay_out

Denoise = Callable[[Tensor, Level], Tensor]
"""(noisy (B, ...), level) -> estimate of the clean data (B, ...). The level is () or one per sample, of any length."""

Network = Callable[[Tensor, Tensor], Tensor]
"""(scaled noisy (B, ...), label (B,)) -> the network's prediction (B, ...). Conditions are bound beforehand."""


class Habits(NamedTuple):
    """How to feed a network at a level and how to read it; fields have the level's shape."""

    skip: Tensor
    out: Tensor
    scale: Tensor


Prediction = Callable[[Level], Habits]
"""Written for a level of any length: `scale` brings the noisy data to the length that the network was trained with."""


def noise(level: Level) -> Habits:
    """The network predicts the noise (Ho et al. 2020, eq. 15). At pure noise it says nothing of the clean data."""
    alpha = level.alpha.clamp(min=torch.finfo(level.alpha.dtype).eps)
    return Habits(1 / alpha, -level.sigma / alpha, 1 / torch.hypot(level.alpha, level.sigma))


def v(level: Level) -> Habits:
    """The network predicts alpha * noise - sigma * clean, for alpha^2 + sigma^2 = 1 (Salimans & Ho 2022, app. D)."""
    length = torch.hypot(level.alpha, level.sigma)
    return Habits(level.alpha / length.square(), -level.sigma / length, 1 / length)


def data(level: Level) -> Habits:
    """The network predicts the clean data itself (Salimans & Ho 2022, section 4), for alpha^2 + sigma^2 = 1."""
    length = torch.hypot(level.alpha, level.sigma)
    return Habits(torch.zeros_like(length), torch.ones_like(length), 1 / length)


def flow(level: Level) -> Habits:
    """The network predicts the velocity noise - clean, for alpha + sigma = 1 (Liu et al. 2022, eq. 1)."""
    length = level.alpha + level.sigma
    return Habits(1 / length, -level.sigma / length, 1 / length)


def edm(level: Level, data_std: float = 0.5) -> Habits:
    """EDM's preconditioning (Karras et al. 2022, table 1), which is for alpha = 1."""
    std = torch.hypot(level.sigma, data_std * level.alpha)  # of the noisy data
    return Habits(data_std**2 * level.alpha / std.square(), level.sigma * data_std / std, 1 / std)


@dataclass(frozen=True)
class Timestep:
    """Labels 0 .. N-1 of a beta table's rows, fractional between them."""

    process: Process
    count: int = 1000

    def __call__(self, level: Level) -> Tensor:
        return (self.process.time(level) * self.count - 1).clamp(min=0)


def flow_time(level: Level) -> Tensor:
    """1000 * sigma on the straight line: the label of rectified-flow networks (Esser et al. 2024)."""
    return 1000 * level.sigma / (level.alpha + level.sigma)


def edm_noise(level: Level) -> Tensor:
    """log(sigma / alpha) / 4 (Karras et al. 2022, table 1), finite at both ends."""
    ends = torch.finfo(level.sigma.dtype)
    return (level.sigma / level.alpha).clamp(ends.tiny, ends.max).log() / 4


@dataclass(frozen=True)
class Parameterisation:
    """A network's habits: what it predicts (`prediction`) and how it is told the level (`label`)."""

    prediction: Prediction
    label: Callable[[Level], Tensor]

    def predict(self, network: Network, noisy: Tensor, level: Level) -> tuple[Tensor, Habits]:
        """Feed the network at a level; returns its raw output and the habits that read it, shaped like the batch."""
        habits = Habits(*(lay_out(value, noisy) for value in self.prediction(level)))
        precise = torch.promote_types(noisy.dtype, torch.float32)  # bf16 would round timesteps
        label = self.label(level).to(noisy.device, precise).expand(len(noisy))
        return network(habits.scale * noisy, label), habits

    def denoiser(self, network: Network) -> Denoise:
        """The network as a Denoise."""

        def denoise(noisy: Tensor, level: Level) -> Tensor:
            output, habits = self.predict(network, noisy, level)
            return habits.skip * noisy + habits.out * output

        return denoise
