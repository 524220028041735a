"""A Gaussian with the mean and the main variations of given data, and its exact denoiser under every process."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import Level


@dataclass(frozen=True)
class Principal:
    """N(mean, directions^T diag(variances) directions + rest (1 - directions^T directions)).

    Probabilistic principal component analysis (Tipping & Bishop 1999): directions (K, D) are orthonormal, in which the
    variances (K,) are told apart; in all others the variance is `rest` (). The mean has the shape of one sample.
    """

    mean: Float[Tensor, "..."]
    directions: Float[Tensor, "k d"]
    variances: Float[Tensor, " k"]
    rest: Float[Tensor, ""]

    @classmethod
    def fitted(cls, data: Float[Tensor, "n ..."], directions: int) -> Principal:
        """The one with the mean of the data and, along their main `directions`, their variances.

        With 0 directions it is N(0, 1), mere noise.
        """
        if directions == 0:
            shape, size = data.shape[1:], data[0].numel()
            return cls(data.new_zeros(shape), data.new_zeros(0, size), data.new_zeros(0), data.new_ones(()))
        mean = data.mean(0)
        _, lengths, axes = torch.linalg.svd((data - mean).flatten(1).double(), full_matrices=False)
        variances = lengths.square() / max(1, len(data) - 1)
        kept, others = min(directions, len(variances)), data[0].numel() - directions
        rest = variances[kept:].sum() / max(1, others)
        return cls(mean, axes[:kept].to(data), variances[:kept].to(data), rest.to(data))

    def draw(self, noise: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Samples, from standard normal noise of their shape."""
        along, across = self._apart(noise)
        scaled = (along * self.variances.sqrt()) @ self.directions
        return self.mean + (scaled + self.rest.sqrt() * across).view_as(noise)

    def denoise(self, noisy: Float[Tensor, "b ..."], level: Level) -> Float[Tensor, "b ..."]:
        """The exact E[clean | noisy], Wiener's filter. This is Denoise itself."""
        along, across, alpha, variances, rest = self._seen(noisy, level)
        gains, gain = alpha * self.variances / variances, alpha * self.rest / rest
        return self.mean + ((gains * along) @ self.directions + gain * across).view_as(noisy)

    def velocity(self, noisy: Float[Tensor, "b ..."], level: Level) -> Float[Tensor, "b ..."]:
        """The same as the prediction of v, for alpha^2 + sigma^2 = 1 (Salimans & Ho 2022, app. D)."""
        along, across, alpha, variances, rest = self._seen(noisy, level)
        gains, gain = alpha * (1 - self.variances) / variances, alpha * (1 - self.rest) / rest
        apart = ((gains * along) @ self.directions + gain * across).view_as(noisy)
        return level.like(noisy).sigma * (apart - self.mean)

    def log_density(self, noisy: Float[Tensor, "b ..."], level: Level) -> Float[Tensor, " b"]:
        """The logarithm of the density of what is noisy, up to a constant of the level."""
        along, across, _, variances, rest = self._seen(noisy, level)
        return -((along.square() / variances).sum(1) + (across.square() / rest).sum(1)) / 2

    def _seen(self, noisy: Tensor, level: Level) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What is noisy without its mean, along the directions and across them; alpha, and both noisy variances."""
        at = level.like(noisy.flatten(1))
        along, across = self._apart(noisy - level.like(noisy).alpha * self.mean)
        tiny = torch.finfo(noisy.dtype).tiny
        alpha, noise = at.alpha, at.sigma.square()
        variances, rest = ((alpha.square() * value + noise).clamp(min=tiny) for value in (self.variances, self.rest))
        return along, across, alpha, variances, rest

    def _apart(self, values: Float[Tensor, "b ..."]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b d"]]:
        flat = values.flatten(1)
        along = flat @ self.directions.T
        return along, flat - along @ self.directions
