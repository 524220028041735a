"""The gradient of a probability: pictures by climbing it, from noise.

A probability says how likely something noisy shows what is wanted; its gradient says how the pixels should change to
make that likelier. Two ways to follow it: `ascend` takes small steps in the pixels themselves; `velocity_of` reads the
gradient as the prediction of a denoiser, which every solver can follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Network
from sfumato.diffusion.sampling import State
from sfumato.diffusion.solvers.step import where


class LogProbability(Protocol):
    """The logarithm of a probability or of odds, up to a constant."""

    def __call__(self, noisy: Tensor, level: Level) -> Float[Tensor, " b"]:
        """A value for each sample of `noisy` (B, ...), which stands at a level."""
        ...


def ascend(
    log_probability: LogProbability,
    start: Float[Tensor, "b ..."],
    levels: Level,
    noise: Noise,
    size: float = 0.1,
    temperature: float = 1.0,
    times: int = 1,
) -> Iterator[State]:
    """Climb the probability at each level in turn: annealed Langevin dynamics (Song & Ermon 2019, algorithm 1).

        x += h / 2 gradient + sqrt(h) noise,  h = size sigma^2

    Args:
        log_probability: of what is noisy at a level.
        start: at levels[0].
        levels: fields (n,) or (n, B), from noisy to clean; the last one may be clean, where steps are as long as just
            before it.
        noise: for the random part of the steps.
        size: of a step, in units of the noise's variance.
        temperature: 1 samples from the probability; 0 climbs to its next summit (plain gradient ascent).
        times: steps at each level.

    Yields a state per level; its `clean` is the picture as it is.
    """
    noisy = start
    for step, level in enumerate(levels, 1):
        at = where(level.sigma == 0, levels[max(step - 2, 0)], level)
        length = size * at.like(start).sigma.square()
        for _ in range(times):
            noisy = noisy + length / 2 * gradient(lambda x: log_probability(x, level), noisy)  # noqa: B023  called at once
            if temperature:
                noisy = noisy + temperature * length.sqrt() * noise(noisy)
        yield State(step, len(levels), level, noisy, noisy)


def gradient(function: Callable[[Tensor], Float[Tensor, " b"]], at: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    """The gradient of each sample's value with respect to that sample; differentiable where gradients are recorded."""
    recorded = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        point = at.detach().clone().requires_grad_()
        return torch.autograd.grad(function(point).sum(), point, create_graph=recorded)[0]


def velocity_of(potential: Callable[[Tensor, Tensor], Float[Tensor, " b"]]) -> Network:
    """The downhill gradient of a potential (noisy, label) -> (B,), as a network that predicts the velocity.

    If alpha / sigma * potential is the log odds that something noisy, with alpha^2 + sigma^2 = 1, is a noisy picture
    rather than mere noise N(0, 1), then score = gradient of log odds - noisy, and Tweedie's formula gives

        clean = (noisy + sigma^2 score) / alpha = alpha noisy + sigma gradient of potential

    which is how a prediction v = -gradient is read (Salimans & Ho 2022, app. D). So a classifier that tells pictures
    from noise is a denoiser (Gutmann & Hyvarinen 2010; Yadin et al. 2024, "Classification diffusion models"), and its
    gradient can be taught by the denoising loss. If it tells pictures from something else than noise, of which a
    velocity is known, the gradient is what is to be added to that.
    """

    def network(noisy: Tensor, label: Tensor) -> Tensor:
        return -gradient(lambda x: potential(x, label), noisy)

    return network
