"""Levels of noise.

    noisy = alpha * clean + sigma * noise

A level is a point (alpha, sigma). Only its direction says how noisy something is: `noisy` at (alpha, sigma) and
k * noisy at (k alpha, k sigma) are the same, and every Denoise takes them as the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Level:
    """How noisy something is: `noisy = alpha * clean + sigma * noise`.

    Both fields have one shape: () for one level, (B,) for a level per sample or the rows of a timetable, and
    (B, 1, ..., 1) once laid out `like` a batch.
    """

    alpha: Tensor
    sigma: Tensor

    def __getitem__(self, index: int | slice | Tensor) -> Level:
        return Level(self.alpha[index], self.sigma[index])

    def __len__(self) -> int:
        return len(self.alpha)

    def __iter__(self) -> Iterator[Level]:
        return (self[i] for i in range(len(self)))

    def like(self, sample: Tensor) -> Level:
        """The same level shaped to multiply a batch (B, ...), in its dtype and on its device."""
        return Level(*(lay_out(value, sample) for value in (self.alpha, self.sigma)))

    def repeat(self, times: int) -> Level:
        """The level of a batch that was repeated `times` times along its first axis; () stays ()."""
        if self.alpha.ndim == 0:
            return self
        return Level(torch.cat([self.alpha] * times), torch.cat([self.sigma] * times))

    @property
    def half_log_snr(self) -> Tensor:
        """log(alpha / sigma), lambda of Lu et al. 2022: -inf at pure noise, +inf at clean."""
        return self.alpha.log() - self.sigma.log()

    @property
    def spread(self) -> Tensor:
        """The deviation of noisy data whose own is 1: of the noise to begin with, where all is noise or nearly so."""
        return torch.hypot(self.alpha, self.sigma)

    def add_noise(self, clean: Tensor, noise: Tensor) -> Tensor:
        """The noisy version of `clean` at this level."""
        here = self.like(clean)
        return here.alpha * clean + here.sigma * noise


def lay_out(value: Tensor | float, sample: Tensor) -> Tensor:
    """A number per sample, () or (B,), shaped (B, 1, ..., 1) to multiply a batch, in its dtype and on its device.

    What has as many axes as the batch is shaped so already, and may say something else at every place.
    """
    value = torch.as_tensor(value, dtype=sample.dtype, device=sample.device)
    return value if value.ndim in (0, sample.ndim) else value.reshape(-1, *[1] * (sample.ndim - 1))


CLEAN = Level(torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))
PURE_NOISE = Level(torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))


class Process(Protocol):
    """A path of levels over t in [0, 1]: 0 is clean (or nearly), 1 is noise."""

    def __call__(self, t: Float[Tensor, "*b"]) -> Level:
        """The level at time t, in float64."""
        ...

    def time(self, level: Level) -> Float[Tensor, "*b"]:
        """The time at which the process has this level's ratio of signal to noise, in float64."""
        ...
