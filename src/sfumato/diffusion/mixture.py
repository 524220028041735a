"""A world whose truth is known: a mixture of Gaussians, with its exact denoiser under every process."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from sfumato.diffusion.levels import Level


@dataclass(frozen=True)
class GaussianMixture:
    """Isotropic Gaussians: `means` (K, D), `stds` (K,), `weights` (K,) that sum to one."""

    means: Float[Tensor, "k d"]
    stds: Float[Tensor, " k"]
    weights: Float[Tensor, " k"]

    def sample(self, count: int, generator: Generator) -> Float[Tensor, "n d"]:
        """Draw `count` points."""
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        return self.means[which] + self.stds[which, None] * noise

    def denoise(self, noisy: Float[Tensor, "b d"], level: Level) -> Float[Tensor, "b d"]:
        """The exact E[clean | noisy]: the posterior means of the components, weighted by how likely each is.

        This is Denoise itself; pure noise gives the mixture's mean, the clean level the data unchanged.
        """
        at = level.like(noisy)
        alpha, sigma = at.alpha.unsqueeze(-1), at.sigma.unsqueeze(-1)  # (B, 1, 1) or (1,)
        variance = alpha.square() * self.stds.square()[:, None] + sigma.square()  # (.., K, 1) of the noisy component
        offset = noisy[:, None] - alpha * self.means  # (B, K, D)
        log_likely = self.weights.log() - (offset.square() / variance + variance.log()).sum(-1) / 2
        posterior = self.means + alpha * self.stds.square()[:, None] / variance * offset
        return (log_likely.softmax(-1)[..., None] * posterior).sum(1)
