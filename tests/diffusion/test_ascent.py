"""The gradient of a probability, on a world whose probabilities are known."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from sfumato.diffusion.ascent import ascend, gradient, velocity_of
from sfumato.diffusion.levels import CLEAN, Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.parameterisation import Parameterisation, v
from sfumato.diffusion.processes import Cosine

F64 = torch.float64
WORLD = GaussianMixture(
    torch.tensor([[1.0, 0.5], [-1.0, 0.0]], dtype=F64),
    torch.tensor([0.3, 0.5], dtype=F64),
    torch.tensor([0.4, 0.6], dtype=F64),
)
STANDARD = MultivariateNormal(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64))


def log_density(noisy, level):
    """Of the noisy world."""
    alpha, sigma = (value.reshape(-1, 1) for value in (level.alpha, level.sigma))
    each = [
        weight.log()
        + MultivariateNormal(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64)).log_prob(
            (noisy - alpha * mean) / width
        )
        - 2 * width.log().squeeze(1)
        for mean, std, weight in zip(WORLD.means, WORLD.stds, WORLD.weights, strict=True)
        for width in [(alpha**2 * std**2 + sigma**2).sqrt()]
    ]
    return torch.stack(each).logsumexp(0)


def test_the_gradient_of_a_perfect_classifier_of_pictures_against_noise_is_the_perfect_denoiser():
    process = Cosine()
    reading = Parameterisation(v, process.time)  # the label is the time itself

    def potential(noisy, time):
        level = process(time)
        return level.sigma / level.alpha * (log_density(noisy, level) - STANDARD.log_prob(noisy))

    noisy, level = torch.randn(64, 2, dtype=F64), process(torch.linspace(0.02, 0.98, 64))
    found = reading.denoiser(velocity_of(potential))(noisy, level)
    assert torch.allclose(found, WORLD.denoise(noisy, level), atol=1e-9)


def test_climbing_raises_the_probability_at_every_step():
    start = 2 * torch.randn(32, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    level = Level(torch.ones(20, dtype=F64), torch.full((20,), 0.3, dtype=F64))
    states = list(ascend(log_density, start, level, torch.zeros_like, size=1.0, temperature=0))
    values = torch.stack([log_density(x, level[:1]) for x in (start, *(state.noisy for state in states))])
    assert (values.diff(dim=0) > -1e-9).all()
    assert (values[-1] - values[0]).min() > 0
    assert [state.step for state in states] == list(range(1, 21))


def test_annealed_langevin_dynamics_draws_from_the_world():
    count = 2000
    noise = per_sample_noise(range(count))
    sigmas = torch.logspace(0.5, -1.5, 60, dtype=F64)
    levels = Level(torch.ones_like(sigmas), sigmas)
    start = sigmas[0] * noise(torch.empty(count, 2, dtype=F64))
    points = [state.noisy for state in ascend(log_density, start, levels, noise, size=0.2, times=4)][-1]
    truth = WORLD.sample(100_000, torch.Generator().manual_seed(1))
    assert torch.allclose(points.mean(0), truth.mean(0), atol=0.12)
    assert torch.allclose(points.T.cov(), truth.T.cov(), atol=0.12)


def test_the_last_step_may_stand_at_the_clean_level():
    levels = Level(torch.ones(2, dtype=F64), torch.tensor([0.5, 0.0], dtype=F64))
    flat = lambda x, level: x.sum(1)  # noqa: E731  its gradient is 1 everywhere
    *_, state = ascend(flat, torch.zeros(1, 2, dtype=F64), levels, torch.zeros_like, size=0.1, temperature=0)
    assert state.level.sigma == CLEAN.sigma
    assert state.noisy[0, 0].item() == pytest.approx(2 * 0.1 / 2 * 0.25)


def test_a_gradient_is_taken_for_each_sample_by_itself_also_where_none_is_recorded():
    at = torch.randn(3, 2, 2)
    with torch.inference_mode():
        found = gradient(lambda x: x.pow(3).flatten(1).sum(1), at)
        of_made_here = gradient(lambda x: x.pow(3).flatten(1).sum(1), at.exp())
    assert torch.allclose(found, 3 * at**2)
    assert torch.allclose(of_made_here, 3 * at.exp() ** 2)
    assert not found.requires_grad


def test_a_gradient_can_be_taught():
    weight = torch.tensor(2.0, requires_grad=True)
    found = gradient(lambda x: weight * x.square().sum(1), torch.ones(1, 3))
    found.sum().backward()
    assert weight.grad.item() == 6
