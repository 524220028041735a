"""Levels of noise, and the processes that run through them from clean (t = 0) to noise (t = 1).

    noisy = alpha * clean + sigma * noise

A level is a point (alpha, sigma). A process is a path of levels over t in [0, 1]; it can be asked for the level at a
time and for the time of a level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
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
    def log_snr(self) -> Tensor:
        """log(alpha / sigma), half the logarithm of the signal-to-noise ratio: -inf at pure noise, +inf at clean."""
        return self.alpha.log() - self.sigma.log()

    def add_noise(self, clean: Tensor, noise: Tensor) -> Tensor:
        """The noisy version of `clean` at this level."""
        here = self.like(clean)
        return here.alpha * clean + here.sigma * noise


def lay_out(value: Tensor, sample: Tensor) -> Tensor:
    """A number per sample, () or (B,), shaped (B, 1, ..., 1) to multiply a batch, in its dtype and on its device."""
    value = value.to(sample)
    return value if value.ndim == 0 else value.reshape(-1, *[1] * (sample.ndim - 1))


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


@dataclass(frozen=True)
class BetaTable:
    """A variance-preserving process given by a table of betas (Ho et al. 2020, section 2).

    Row i, timestep i of the literature, stands at t = (i + 1) / N; t = 0 is clean. Between two rows beta is constant,
    so that log alpha^2 is linear in t.
    """

    betas: tuple[float, ...]
    log_alphas: Tensor = field(init=False, repr=False, compare=False)  # (N + 1,), float64: log alpha at i / N

    def __post_init__(self) -> None:
        steps = torch.log1p(-torch.tensor(self.betas, dtype=torch.float64)) / 2
        object.__setattr__(self, "log_alphas", torch.cat([steps.new_zeros(1), steps.cumsum(0)]))

    def __len__(self) -> int:
        return len(self.betas)

    def __call__(self, t: Float[Tensor, "*b"]) -> Level:
        table = self.log_alphas.to(t.device)
        place = t.double().clamp(0, 1) * len(self)
        row = place.long().clamp(max=len(self) - 1)
        log_alpha = torch.lerp(table[row], table[row + 1], place - row)
        return Level(log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt())

    def time(self, level: Level) -> Float[Tensor, "*b"]:
        table = self.log_alphas.to(level.alpha.device)
        # log alpha of the variance-preserving level with the same ratio alpha / sigma, accurate at both ends
        alpha, sigma = level.alpha.double(), level.sigma.double()
        log_alpha = (alpha / torch.hypot(alpha, sigma)).log().clamp(table[-1].item(), 0)
        row = torch.searchsorted(-table, -log_alpha.contiguous(), right=True).clamp(1, len(self)) - 1
        return (row + (log_alpha - table[row]) / (table[row + 1] - table[row])) / len(self)


def linear_betas(steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> BetaTable:
    """Betas that grow linearly (Ho et al. 2020, section 4)."""
    return BetaTable(tuple(torch.linspace(start, end, steps, dtype=torch.float64).tolist()))


def scaled_linear_betas(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> BetaTable:
    """Betas whose square roots grow linearly: the latent diffusion models' choice (Rombach et al. 2022)."""
    roots = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64)
    return BetaTable(tuple(roots.square().tolist()))


def cosine_betas(steps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> BetaTable:
    """Betas of the squared-cosine schedule (Nichol & Dhariwal 2021, eq. 17)."""
    times = torch.arange(steps + 1, dtype=torch.float64) / steps
    alphas_cumprod = ((times + offset) / (1 + offset) * math.pi / 2).cos().square()
    return BetaTable(tuple((1 - alphas_cumprod[1:] / alphas_cumprod[:-1]).clamp(max=largest).tolist()))


@dataclass(frozen=True)
class Cosine:
    """The continuous cosine process: alpha = cos(pi t / 2), sigma = sin(pi t / 2), pure noise at t = 1.

    Salimans & Ho 2022 train with it.
    """

    def __call__(self, t: Float[Tensor, "*b"]) -> Level:
        t = t.double()
        return Level(((1 - t) * math.pi / 2).sin(), (t * math.pi / 2).sin())  # the sine of 1 - t is exactly 0 at t = 1

    def time(self, level: Level) -> Float[Tensor, "*b"]:
        return torch.atan2(level.sigma.double(), level.alpha.double()) * 2 / math.pi


@dataclass(frozen=True)
class Karras:
    """The variance-exploding process of EDM: alpha = 1, sigma from `low` to `high` (Karras et al. 2022, eq. 5).

    At t = 0 sigma is `low`, not 0: a timetable adds the clean level after it.
    """

    low: float = 0.002
    high: float = 80.0
    rho: float = 7.0

    def __call__(self, t: Float[Tensor, "*b"]) -> Level:
        low, high = self.low ** (1 / self.rho), self.high ** (1 / self.rho)
        sigma = (low + t.double() * (high - low)) ** self.rho
        return Level(torch.ones_like(sigma), sigma)

    def time(self, level: Level) -> Float[Tensor, "*b"]:
        low, high = self.low ** (1 / self.rho), self.high ** (1 / self.rho)
        return ((level.sigma.double() / level.alpha.double()) ** (1 / self.rho) - low) / (high - low)


@dataclass(frozen=True)
class Flow:
    """Rectified flow, the straight line from data to noise: alpha = 1 - s, sigma = s.

    s is t moved toward noise by `shift` (1 leaves it): s = shift t / (1 + (shift - 1) t).
    Liu et al. 2022, eq. 1; the shift is that of Esser et al. 2024, eq. 23.
    """

    shift: float = 1.0

    def __call__(self, t: Float[Tensor, "*b"]) -> Level:
        t = t.double()
        sigma = self.shift * t / (1 + (self.shift - 1) * t)
        return Level(1 - sigma, sigma)

    def time(self, level: Level) -> Float[Tensor, "*b"]:
        sigma = level.sigma.double() / (level.sigma.double() + level.alpha.double())
        return sigma / (self.shift - (self.shift - 1) * sigma)


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
