"""DPM-Solver++ (Lu et al. 2022b) of orders 1, 2 and 3, of the ODE and of the SDEs that share its distributions.

In log SNR, over a step h, with c(u) the clean estimate at log SNR u:

    noisy there = (sigma_there / sigma_here) e^(-eta h) noisy
                + alpha_there (1 + eta) * integral from here to there of e^((1 + eta)(u - there)) c(u) du
                + sigma_there sqrt(1 - e^(-2 eta h)) z

eta = 0 is the ODE, eta = 1 the reverse SDE (Lu et al. 2022b, section 6; Guo et al. 2023, eq. 12, for the eta). A
multistep solver of the SDE is this step, not an ODE solver with noise put on top: its history lies on a random path.
"""

from __future__ import annotations

from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.solvers.adams import History, correction, integrals, recalled, remembered
from sfumato.diffusion.solvers.singlestep import halfway
from sfumato.diffusion.solvers.step import Memory, Solver, decay, where


def dpmpp(order: int, eta: float = 0.0) -> Solver:
    """The multistep solver: one evaluation a step, of order 2 or 3 where eta = 0.

    Order 2 is the published midpoint rule (Lu et al. 2022b, algorithm 2). Order 3 integrates the parabola through the
    last three estimates exactly; its published code weighs the second difference by half, which costs an order.
    """
    if order not in (2, 3):
        raise ValueError(f"the multistep DPM-Solver++ has order 2 or 3, not {order}")
    exact = integrals(lambda u, here, there: (1 + eta) * ((1 + eta) * (u - there)).exp())

    def step(
        denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: History | None, noise: Noise
    ) -> tuple[Tensor, History]:
        clean = denoise(noisy, here)
        history = recalled(memory, here, clean, order - 1)
        differences = [before.value - clean for before in history]
        at, to, (nearest, *others) = (
            here.half_log_snr,
            there.half_log_snr,
            [before.level.half_log_snr for before in history],
        )
        if order == 2:
            candidates = [[midpoint(nearest, at, to, decay(here, there) ** (1 + eta))]]
        else:
            candidates = [exact([nearest], at, to), exact([nearest, *others], at, to)]
        made = exponential_step(noisy, clean, here, there, eta)
        made = made + there.like(noisy).alpha * correction(differences, candidates)
        if eta:
            made = made + lay_out(noise_std(here, there, eta), noisy) * noise(noisy)
        return made, remembered(history, here, clean)

    return step


def dpmpp_sde(eta: float = 1.0) -> Solver:
    """The SDE with a second look in the middle of log SNR and no memory (k-diffusion's `dpmpp_sde`).

    Both looks see the same random path: the noise of the whole step continues that of its first half.
    """

    def step(
        denoise: Denoise, noisy: Tensor, here: Level, there: Level, memory: Memory, noise: Noise
    ) -> tuple[Tensor, Memory]:
        clean, first, second = denoise(noisy, here), noise(noisy), noise(noisy)
        # samples that arrive at clean have no middle; theirs is where they stand
        middle = where(decay(here, there) > 0, halfway(here, there), here)
        half = exponential_step(noisy, clean, here, middle, eta)
        half = half + lay_out(noise_std(here, middle, eta), noisy) * first
        better = denoise(half, middle)
        made = exponential_step(noisy, better, here, there, eta)
        onward = there.sigma / middle.sigma * decay(middle, there) ** eta * noise_std(here, middle, eta)
        return made + lay_out(onward, noisy) * first + lay_out(noise_std(middle, there, eta), noisy) * second, None

    return step


def midpoint(before: Tensor, here: Tensor, there: Tensor, left: Tensor) -> Tensor:
    """The weight of the last estimate's difference if the middle of the step stands for all of it.

    The arguments are log SNRs, and e^-h of the step (to the power 1 + eta).
    """
    return -(1 - left) / 2 * (there - here) / (here - before)


def exponential_step(noisy: Tensor, clean: Tensor, here: Level, there: Level, eta: float) -> Tensor:
    """The step without noise and with a clean estimate that stays as it is."""
    left = decay(here, there)
    kept = there.sigma / here.sigma * left**eta
    return lay_out(kept, noisy) * noisy + lay_out(there.alpha * (1 - left ** (1 + eta)), noisy) * clean


def noise_std(here: Level, there: Level, eta: float) -> Tensor:
    """The deviation of the fresh noise that a step brings."""
    return there.sigma * (1 - decay(here, there) ** (2 * eta)).clamp(min=0).sqrt()
