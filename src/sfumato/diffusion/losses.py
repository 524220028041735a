"""What a denoiser is trained on: the squared error of its estimate, weighted by level, at levels drawn at random."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from sfumato.diffusion.levels import Level, Process, lay_out
from sfumato.diffusion.parameterisation import Network, Parameterisation

Weight = Callable[[Level], Tensor]
"""level -> the weight of the squared error of the clean estimate, same shape as the level."""

TimeDistribution = Callable[[Float[Tensor, " b"]], Float[Tensor, " b"]]
"""Uniform numbers in (0, 1) -> times in [0, 1]."""


def denoising_loss(
    network: Network,
    parameterisation: Parameterisation,
    clean: Float[Tensor, "b ..."],
    noise: Float[Tensor, "b ..."],
    level: Level,
    weight: Weight | None = None,
) -> Float[Tensor, " b"]:
    """The weighted squared error per sample, a mean over all other axes.

    Without `weight` the error is taken in what the network predicts: for noise prediction that is L_simple of Ho et
    al. 2020, eq. 14. The level is one per sample, with sigma > 0. The error is formed in the network's output space,
    where it stays well-scaled at every level: estimate - clean = out * (output - target).
    """
    noisy = level.add_noise(clean, noise)
    output, habits = parameterisation.predict(network, noisy, level)
    target = (clean - habits.skip * noisy) / habits.out
    error = (output - target).float().square().flatten(1).mean(1)
    if weight is None:
        return error
    balance = weight(level) * parameterisation.prediction(level).out.square()
    return lay_out(balance, error) * error


# --- weights ----------------------------------------------------------------------------------------------------------


def snr(level: Level) -> Tensor:
    """alpha^2 / sigma^2: every level's noise counts the same (Ho et al. 2020, L_simple)."""
    return level.alpha.square() / level.sigma.square()


def velocity(level: Level) -> Tensor:
    """1 / sigma^2: the plain error of v where alpha^2 + sigma^2 = 1 (Salimans & Ho 2022), and of flow's velocity."""
    return 1 / level.sigma.square()


def min_snr(level: Level, gamma: float = 5.0) -> Tensor:
    """min(alpha^2 / sigma^2, gamma) (Hang et al. 2023, eq. 8)."""
    return snr(level).clamp(max=gamma)


def edm(level: Level, data_std: float = 0.5) -> Tensor:
    """(sigma^2 + data^2) / (sigma data)^2 (Karras et al. 2022, table 1)."""
    variance = level.sigma.square()
    return (variance + data_std**2) / (variance * data_std**2)


# --- which levels -----------------------------------------------------------------------------------------------------


def stratified(batch: int, generator: Generator) -> Float[Tensor, " b"]:
    """Uniform numbers in (0, 1), evenly spread over the batch, float64 (Kingma et al. 2021, appendix I.1)."""
    start = torch.rand((), generator=generator, dtype=torch.float64)
    spread = (start + torch.arange(batch, dtype=torch.float64) / batch) % 1
    return spread[torch.randperm(batch, generator=generator)].clamp(1e-6, 1 - 1e-6)


def uniform(u: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """All times alike."""
    return u


def logit_normal(u: Float[Tensor, " b"], mean: float = 0.0, std: float = 1.0) -> Float[Tensor, " b"]:
    """More of the middle times: logit(t) is normal (Esser et al. 2024, eq. 19)."""
    return torch.sigmoid(mean + std * torch.special.ndtri(u))


def within(times: TimeDistribution, low: float, high: float) -> TimeDistribution:
    """The same distribution, of the times from `low` to `high` alone; `times` must grow with its argument.

    So each expert sees its range as often as a denoiser of all levels would, and nothing else (Balaji et al. 2022,
    section 4.1).
    """
    ends = torch.tensor([low, high], dtype=torch.float64)
    below, above = torch.zeros_like(ends), torch.ones_like(ends)
    for _ in range(52):  # bisection, to the last bit
        middle = (below + above) / 2
        early = times(middle) < ends
        below, above = torch.where(early, middle, below), torch.where(early, above, middle)
    first, last = ((below + above) / 2).tolist()
    return lambda u: times(first + u * (last - first)).clamp(low, high)


def log_normal_sigma(
    u: Float[Tensor, " b"], process: Process, mean: float = -1.2, std: float = 1.2
) -> Float[Tensor, " b"]:
    """Times at which log sigma is normal, for exploding processes (Karras et al. 2022, section 5)."""
    sigma = (mean + std * torch.special.ndtri(u)).exp()
    return process.time(Level(torch.ones_like(sigma), sigma)).clamp(0, 1)
