"""Pulling what is made toward something seen: a function from Denoise to Denoise."""

from __future__ import annotations

from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out
from sfumato.diffusion.parameterisation import Denoise


def pulled(denoise: Denoise, target: Tensor, strength: float | Tensor, data_std: float = 1.0) -> Denoise:
    """Steer the estimate of the clean data toward `target` (B, ...), at every level by as much as is still open.

    The target counts as the clean data seen through noise of variance 1 / strength: log N(target; clean, 1 / strength).
    Given the noisy data alone, the clean data spread around their estimate with about the variance
    r^2 = 1 / (1 / data_std^2 + alpha^2 / sigma^2); given both, their mean is

        clean + r^2 / (r^2 + 1 / strength) * (target - clean)

    That is guidance by a likelihood (Bansal et al. 2023, eq. 4-5; Chung et al. 2023, eq. 10) with the spread of Song et
    al. 2023 (Pseudoinverse-guided diffusion, eq. 7-8), whose gradient through the denoiser is taken where it is known:
    for Gaussian data of deviation `data_std` in each number, where the result is exact. Strength 0 leaves the
    denoiser as it is; the strength is a number or one per sample, from 0.
    """

    def denoise_pulled(noisy: Tensor, level: Level) -> Tensor:
        clean = denoise(noisy, level)
        power = lay_out(strength, clean) if isinstance(strength, Tensor) else strength
        signal, noise = level.alpha.square(), level.sigma.square()  # as they are: float16 has no square above 255
        spread = lay_out(data_std**2 * noise / (noise + data_std**2 * signal), clean)
        share = power * spread / (1 + power * spread)
        return clean + share * (target - clean)

    return denoise_pulled
