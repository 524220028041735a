"""Steering: a denoiser pushed uphill on the probability of what is wanted, by the gradient of a stranger.

By Tweedie's formula clean = (noisy + sigma^2 * score) / alpha, and a condition y adds to the score of the noisy data
the gradient of log p(y | noisy) (Dhariwal & Nichol 2021, section 4.2). So for every process

    clean given y = clean + sigma^2 / alpha * gradient of log p(y | noisy)

The gradients work wherever the caller has switched them off; what the callables hold must not be made in inference
mode, which torch cannot differentiate through.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.ascent import gradient
from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.mixing import Weight
from sfumato.diffusion.parameterisation import Denoise

NEARLY_NOISE = 1e-3
"""The least alpha / sigma at which a gradient by the noisy data is asked. In pure noise it is 0 and its factor
infinite; here their product is within about this of its limit."""


def classifier_guided(
    denoise: Denoise, log_probability: Callable[[Tensor, Level], Float[Tensor, " b"]], scale: Weight = 1.0
) -> Denoise:
    """Steered by a classifier of noisy data: log_probability(noisy, level) is log p(y | noisy), a number per sample.

    With scale 1 and exact parts it is the conditional model (Dhariwal & Nichol 2021, algorithm 2, for any process).
    """

    def steered(noisy: Tensor, level: Level) -> Tensor:
        known = _short_of_pure_noise(level)
        slope = gradient(lambda at: log_probability(at, known), noisy)
        return denoise(noisy, level) + _pushed(slope, scale, known.sigma.square() / known.alpha)

    return steered


def universally_guided(
    denoise: Denoise, log_probability: Callable[[Tensor], Float[Tensor, " b"]], scale: Weight = 1.0
) -> Denoise:
    """Steered by a classifier of clean data, through the denoiser (universal guidance, Bansal et al. 2023).

    log p(y | noisy) is taken as log_probability(estimate of the clean data), whose gradient runs back through the
    network: exact where the estimate is certain. In pure noise a network's small errors grow by the factor
    sigma^2 / alpha; `within` an interval, or `steered_at_estimate`, avoids that.
    """

    def steered(noisy: Tensor, level: Level) -> Tensor:
        known, estimates = _short_of_pure_noise(level), []

        def by_way_of_the_estimate(at: Tensor) -> Tensor:
            estimates.append(denoise(at, known))
            return log_probability(estimates[-1])

        slope = gradient(by_way_of_the_estimate, noisy)
        return estimates[-1].detach() + _pushed(slope, scale, known.sigma.square() / known.alpha)

    return steered


def steered_at_estimate(
    denoise: Denoise,
    log_probability: Callable[[Tensor], Float[Tensor, " b"]],
    scale: Weight = 1.0,
    data_std: float = 1.0,
) -> Denoise:
    """Steered by a classifier of clean data, without running back through the denoiser: finite at both ends.

    clean + scale * variance * gradient at the estimate, where variance = data_std^2 sigma^2 / (data_std^2 alpha^2 +
    sigma^2) is how uncertain the clean data is, as if it were Gaussian (Song et al. 2023, "Pseudoinverse-guided
    diffusion models"). It stands for sigma^2 / alpha times the denoiser's derivative, which it equals for
    such data.
    """

    def steered(noisy: Tensor, level: Level) -> Tensor:
        clean = denoise(noisy, level)
        slope = gradient(log_probability, clean)
        wide = data_std**2 * level.sigma.square() / ((data_std * level.alpha).square() + level.sigma.square())
        return clean + _pushed(slope, scale, wide)

    return steered


def _short_of_pure_noise(level: Level) -> Level:
    with torch.inference_mode(False):  # the level is used where gradients are recorded
        return Level(torch.maximum(level.alpha.clone(), NEARLY_NOISE * level.sigma.clone()), level.sigma.clone())


def _pushed(slope: Tensor, scale: Weight, factor: Tensor) -> Tensor:
    return lay_out(scale, slope) * lay_out(factor, slope) * slope


def keeping(denoise: Denoise, known: Float[Tensor, "b ..."], free: Float[Tensor, "b ..."]) -> Denoise:
    """Where `free` is 0 the estimate is what is known, where it is 1 it is the denoiser's, and between, between.

    The solver then brings the known part to its place along with the rest (Lugmayr et al. 2022, equation 8, with the
    estimate in the place of the noisy data).
    """

    def kept(noisy: Tensor, level: Level) -> Tensor:
        return known + free * (denoise(noisy, level) - known)

    return kept
