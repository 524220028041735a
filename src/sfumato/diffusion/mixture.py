"""A world whose truth is known: a mixture of Gaussians, with its exact denoiser and score at every level."""

from __future__ import annotations

import math
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

        Bayes' rule for Gaussians (Bishop 2006, section 2.3.3). This is Denoise itself; pure noise gives the mixture's
        mean, the clean level the data unchanged.
        """
        alpha, offset, variance, log_share = self._seen(noisy, level)
        posterior = self.means + alpha * self.stds.square()[:, None] / variance * offset
        return (log_share.softmax(-1)[..., None] * posterior).sum(1)

    def score(self, noisy: Float[Tensor, "b d"], level: Level) -> Float[Tensor, "b d"]:
        """The exact gradient of log p(noisy), at the clean level too.

        Where sigma > 0 it is (alpha * denoise(noisy) - noisy) / sigma^2 (Tweedie's formula, Efron 2011, eq. 1.4).
        """
        _, offset, variance, log_share = self._seen(noisy, level)
        return -(log_share.softmax(-1)[..., None] * offset / variance).sum(1)

    def log_probability(self, noisy: Float[Tensor, "b d"], level: Level) -> Float[Tensor, " b"]:
        """The exact log p(noisy) at a level."""
        *_, log_share = self._seen(noisy, level)
        return log_share.logsumexp(-1) - self.means.shape[1] / 2 * math.log(2 * math.pi)

    def _seen(self, noisy: Tensor, level: Level) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each component once it is noisy: alpha, offset from its mean, variance, and log of its share."""
        at = level.like(noisy)
        alpha, sigma = at.alpha.unsqueeze(-1), at.sigma.unsqueeze(-1)  # (B, 1, 1) or (1,)
        variance = alpha.square() * self.stds.square()[:, None] + sigma.square()  # (.., K, 1)
        offset = noisy[:, None] - alpha * self.means  # (B, K, D)
        return alpha, offset, variance, self.weights.log() - (offset.square() / variance + variance.log()).sum(-1) / 2
