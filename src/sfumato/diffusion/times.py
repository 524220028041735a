"""At which levels a sampling run stops on its way from noise to clean."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import Level, Process
from sfumato.diffusion.processes import BetaTable, Karras

Spacing = Callable[[Process, int], Level]
"""(process, steps) -> a timetable: a Level with fields (steps + 1,), ever less noisy, the last one clean.

All levels lie on the process. A single step goes from the noisiest level to clean at once.
"""


def at_times(process: Process, times: Float[Tensor, " steps"]) -> Level:
    """The timetable that stops at these times of the process, 1 is noise, and then at clean."""
    levels = process(times)
    clean = levels.alpha.new_ones(1), levels.sigma.new_zeros(1)
    return Level(torch.cat([levels.alpha, clean[0]]), torch.cat([levels.sigma, clean[1]]))


# --- even in time -----------------------------------------------------------------------------------------------------


def trailing(process: Process, steps: int) -> Level:
    """Evenly spaced in the process's time from t = 1, the last step as long as the others.

    For beta tables this is the "trailing" spacing of Lin et al. 2023, table 2, without rounding to whole rows; for
    `Karras`, whose t = 0 is not clean, it is eq. 5 of Karras et al. 2022.
    """
    last = 0.0 if isinstance(process, Karras) else 1 / steps
    return at_times(process, _even(1, last, steps))


def linspace(process: Process, steps: int) -> Level:
    """Evenly spaced in time with both ends: from t = 1 to the least noise of the process, then clean.

    For beta tables: whole rows, the first and the last among them (Nichol & Dhariwal 2021, section 4).
    """
    if isinstance(process, BetaTable) and steps <= len(process):
        return _at_rows(process, _even(len(process) - 1, 0, steps).round())
    return at_times(process, _even(1, _least(process), steps))


def leading(process: Process, steps: int, offset: int = 0) -> Level:
    """Evenly spaced in time from the clean end, so that the first level is not the noisiest of the process.

    For beta tables: every (N // steps)th row from row `offset` (Song et al. 2021, appendix D.2, "linear"). It is here
    for models that are known by it; Lin et al. 2023, section 3.3, say why `trailing` is better.
    """
    if steps == 1:
        return at_times(process, _even(1, 1, 1))
    if not isinstance(process, BetaTable) or steps > len(process):
        least = _least(process)
        return at_times(process, least + (1 - least) * torch.arange(steps - 1, -1, -1, dtype=torch.float64) / steps)
    rows = torch.arange(steps - 1, -1, -1, dtype=torch.float64) * (len(process) // steps)
    return _at_rows(process, rows + min(offset, len(process) - 1 - int(rows[0])))


def sgm_uniform(process: Process, steps: int) -> Level:
    """`linspace` with one step more, and without its least noisy level (Stability AI's generative-models)."""
    return at_times(process, _even(1, _least(process), steps + 1)[:-1])


def beta_quantile(process: Process, steps: int, a: float = 0.6) -> Level:
    """Times at the quantiles of Beta(a, a): more of them near both ends when a < 1 (Lee et al. 2024)."""
    least = _least(process)
    return at_times(process, least + (1 - least) * _beta_quantile(_even(1, 1 / steps, steps), a))


# --- even in some measure of sigma / alpha ----------------------------------------------------------------------------

Path = Callable[[float, float, Tensor], Tensor]
"""(highest, lowest, ramp from 0 to 1) -> the ratios sigma / alpha from highest to lowest."""

PURE = 1000.0  # where sigma / alpha begins beyond this, nothing can be seen of the clean data
HIGHEST = 80.0  # the first ratio laid out for a process that begins there: EDM's own (Karras et al. 2022, table 1)


def by_ratio(process: Process, steps: int, path: Path) -> Level:
    """Levels whose ratios of noise to signal, sigma / alpha, follow a path.

    It runs from the ratio at t = 1 to that of the process's least noise. Where the process begins in pure noise, which
    has no ratio, or next to it, the path runs from `HIGHEST`, and its first level is then moved to t = 1.
    """
    ends = process(torch.tensor([1.0, _least(process)], dtype=torch.float64))
    high, low = (ends.sigma / ends.alpha).tolist()
    ratios = path(HIGHEST if high > PURE else high, low, _even(0, 1, steps))
    times = process.time(Level(torch.ones_like(ratios), ratios))
    times[0] = 1
    return at_times(process, times)


def karras(process: Process, steps: int, rho: float = 7.0) -> Level:
    """Even in (sigma / alpha)^(1 / rho) (Karras et al. 2022, eq. 5)."""

    def path(high: float, low: float, ramp: Tensor) -> Tensor:
        return (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho

    return by_ratio(process, steps, path)


def exponential(process: Process, steps: int, rho: float = 1.0) -> Level:
    """Even in log(sigma / alpha), the "logSNR" steps of Lu et al. 2022a; `rho` > 1 puts more of them near clean."""

    def path(high: float, low: float, ramp: Tensor) -> Tensor:
        return torch.exp(math.log(low) + (1 - ramp) ** rho * math.log(high / low))

    return by_ratio(process, steps, path)


def linear(process: Process, steps: int) -> Level:
    """Even in sigma / alpha: Karras et al. 2022, eq. 5, with rho = 1. Nearly all steps where there is much noise."""
    return karras(process, steps, rho=1.0)


def beta_sigma(process: Process, steps: int, a: float = 0.6) -> Level:
    """Quantiles of Beta(a, a) taken of sigma / alpha and not of time: what diffusers' `use_beta_sigmas` does."""

    def path(high: float, low: float, ramp: Tensor) -> Tensor:
        return low + (high - low) * _beta_quantile(1 - ramp, a)

    return by_ratio(process, steps, path)


# fmt: off
ALIGNED = {
    "ays-sd1": (14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092,
                0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582),
    "ays-sdxl": (14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141,
                 0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582),
    "ays-svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}
# fmt: on
"""Ratios sigma / alpha of ten steps, tuned for Stable Diffusion 1.5, XL and Video (Sabour et al. 2024, their page)."""


def align_your_steps(process: Process, steps: int, table: str) -> Level:
    """A table of Sabour et al. 2024, for other than ten steps interpolated in log sigma / alpha, as they do.

    On a process with other ends than the table's, log sigma / alpha is stretched to reach them.
    """
    logs = torch.tensor(ALIGNED[table], dtype=torch.float64).log()
    place = _even(0, len(logs) - 1, steps + 1)[:-1]
    row = place.long()
    shape = (torch.lerp(logs[row], logs[row + 1], place - row) - logs[-1]) / (logs[0] - logs[-1])

    def path(high: float, low: float, ramp: Tensor) -> Tensor:
        return torch.exp(math.log(low) + shape * math.log(high / low))

    return by_ratio(process, steps, path)


SPACINGS: dict[str, Spacing] = {
    "trailing": trailing,
    "leading": leading,
    "leading+1": partial(leading, offset=1),
    "linspace": linspace,
    "sgm-uniform": sgm_uniform,
    "karras": karras,
    "exponential": exponential,
    "linear": linear,
    "beta": beta_quantile,
    "beta-sigma": beta_sigma,
    **{name: partial(align_your_steps, table=name) for name in ALIGNED},
}
"""Spacings by the names people type."""


def timetable(process: Process, steps: int, spacing: Spacing = trailing) -> Level:
    """The levels of a sampling run of `steps` steps, from noise to clean: a Level with fields of shape (steps + 1,).

    Raises ValueError for less than one step.
    """
    if steps < 1:
        raise ValueError(f"a timetable needs at least one step, not {steps}")
    return spacing(process, steps)


def _even(first: float, last: float, count: int) -> Float[Tensor, " count"]:
    return torch.linspace(first, last, count, dtype=torch.float64)


def _least(process: Process) -> float:
    """The time of the least noise that a denoiser of this process was trained for."""
    if isinstance(process, Karras):
        return 0.0
    return 1 / len(process) if isinstance(process, BetaTable) else 1e-3


def _at_rows(table: BetaTable, rows: Float[Tensor, " steps"]) -> Level:
    return at_times(table, (rows + 1) / len(table))


def _beta_quantile(share: Float[Tensor, " n"], a: float) -> Float[Tensor, " n"]:
    """Where the distribution function of Beta(a, a) reaches `share`, by bisection of its power series.

    B(x; a, a) = x^a sum_n (1 - a)_n x^n / (n! (a + n)) (DLMF 8.17.7), quick for x up to 1/2; beyond, by symmetry.
    """
    order = torch.arange(60, dtype=torch.float64)
    factors = torch.cat([torch.ones_like(order[:1]), ((order[1:] - a) / order[1:]).cumprod(0)]) / (a + order)

    def below(x: Tensor) -> Tensor:
        return x**a * (x[:, None] ** order * factors).sum(-1)

    half = torch.full_like(share, 0.5)
    wanted = torch.minimum(share, 1 - share) * 2 * below(half)
    low, high = torch.zeros_like(share), half
    for _ in range(64):
        middle = (low + high) / 2
        short = below(middle) < wanted
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return torch.where(share > 0.5, 1 - high, high)
