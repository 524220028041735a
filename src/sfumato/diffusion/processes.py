"""Processes: paths of levels from clean (t = 0) to noise (t = 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import Level


@dataclass(frozen=True)
class BetaTable:
    """A variance-preserving process given by a table of betas (Ho et al. 2020, section 2).

    Row i, timestep i of the literature, stands at t = (i + 1) / N; t = 0 is clean. Between two rows beta is constant,
    so that log alpha^2 is linear in t. The last beta may be 1: the table then ends in pure noise, and alpha itself
    falls to 0 in a straight line from the last row but one.

    Raises ValueError for a table that is empty, or whose betas do not lie between 0 and 1.
    """

    betas: tuple[float, ...]
    log_alphas: Tensor = field(init=False, repr=False, compare=False)  # (N + 1,), float64: log alpha at i / N

    def __post_init__(self) -> None:
        if not self.betas or not all(0 <= beta < 1 for beta in self.betas[:-1]) or not 0 <= self.betas[-1] <= 1:
            raise ValueError("betas should lie between 0 and 1, and only the last may be 1.")
        steps = torch.log1p(-torch.tensor(self.betas, dtype=torch.float64)) / 2
        object.__setattr__(self, "log_alphas", torch.cat([steps.new_zeros(1), steps.cumsum(0)]))

    def __len__(self) -> int:
        return len(self.betas)

    def __call__(self, t: Float[Tensor, "*b"]) -> Level:
        table = self.log_alphas.to(t.device)
        place = t.double().clamp(0, 1) * len(self)
        row = place.long().clamp(max=len(self) - 1)
        log_alpha = torch.where(
            table[row + 1].isinf(),
            table[row] + torch.log1p(row - place),
            torch.lerp(table[row], table[row + 1], place - row),
        )
        return Level(log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt())

    def time(self, level: Level) -> Float[Tensor, "*b"]:
        table = self.log_alphas.to(level.alpha.device)
        # log alpha of the variance-preserving level with the same ratio alpha / sigma, accurate at both ends
        alpha, sigma = level.alpha.double(), level.sigma.double()
        log_alpha = (alpha / torch.hypot(alpha, sigma)).log().clamp(max=0).maximum(table[-1])
        row = torch.searchsorted(-table, -log_alpha.contiguous(), right=True).clamp(1, len(self)) - 1
        into = torch.where(
            table[row + 1].isinf(),
            -torch.expm1(log_alpha - table[row]),
            (log_alpha - table[row]) / (table[row + 1] - table[row]),
        )
        return (row + into) / len(self)


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


def shifted(table: BetaTable, shift: float) -> BetaTable:
    """The table with `shift` times more noise beside the data in every row.

    The larger a picture, the less the same noise hides of it: it averages out over more pixels. A shift of d / 64 makes
    pictures of side d as hard to see as those of side 64 (Hoogeboom et al. 2023, section 3.1).
    """
    kept = (2 * table.log_alphas).exp()  # alpha^2, and 1 in row 0
    kept = kept / (kept + shift**2 * (1 - kept))
    return BetaTable(tuple((1 - kept[1:] / kept[:-1]).tolist()))


def sigmoid_betas(steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> BetaTable:
    """Betas that grow along a sigmoid from -6 to 6 (Xu et al. 2022, GeoDiff's code)."""
    rise = torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid()
    return BetaTable(tuple((start + rise * (end - start)).tolist()))


def zero_terminal_snr(table: BetaTable) -> BetaTable:
    """The table with its alphas shifted and stretched so that it ends in pure noise (Lin et al. 2023, algorithm 1)."""
    alphas = table.log_alphas[1:].exp()
    alphas = (alphas - alphas[-1]) * alphas[0] / (alphas[0] - alphas[-1])
    kept = torch.cat([alphas[:1], alphas[1:] / alphas[:-1]])
    return BetaTable(tuple((1 - kept.square()).tolist()))


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


def shift_for_size(size: int, base_size: int) -> float:
    """How far `Flow` moves toward noise for pictures of `size` pixels, if 1 is right for `base_size` pixels.

    Esser et al. 2024, eq. 23: more pixels show the same picture through more noise.
    """
    return math.sqrt(size / base_size)


@dataclass(frozen=True)
class DynamicShift:
    """A shift of `Flow` that grows with the picture: its `mu` is linear in the number of tokens.

    The shift is exp(mu) when `exponential`, as FLUX has it, else mu itself (diffusers' `time_shift_type`).
    """

    base_shift: float = 0.5  # mu of `base_tokens`
    max_shift: float = 1.15  # mu of `max_tokens`
    base_tokens: int = 256
    max_tokens: int = 4096
    exponential: bool = True

    def __call__(self, tokens: int) -> float:
        """The shift of a picture that the denoiser sees as `tokens` tokens."""
        slope = (self.max_shift - self.base_shift) / (self.max_tokens - self.base_tokens)
        mu = self.base_shift + slope * (tokens - self.base_tokens)
        return math.exp(mu) if self.exponential else mu
