"""The exact world: its density, score, denoiser and samples belong together, in any dimension and at any level."""

import math

import pytest
import torch

from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.processes import Cosine, Flow, Karras, linear_betas

F64 = torch.float64


def world(dimensions):
    generator = torch.Generator().manual_seed(dimensions)
    means = torch.randn(3, dimensions, generator=generator, dtype=F64)
    return GaussianMixture(means, torch.tensor([0.3, 0.5, 0.2], dtype=F64), torch.tensor([0.2, 0.5, 0.3], dtype=F64))


@pytest.mark.parametrize("dimensions", [1, 2, 7])
@pytest.mark.parametrize("process", [Cosine(), Flow(), Karras(), linear_betas()], ids=lambda p: type(p).__name__)
def test_the_score_is_the_gradient_of_the_density_and_tweedies_formula_gives_the_denoiser(dimensions, process):
    mixture, level = world(dimensions), process(torch.tensor([0.1, 0.5, 1.0], dtype=F64))
    noisy = torch.randn(3, dimensions, dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(mixture.log_probability(noisy, level).sum(), noisy)
    score, at = mixture.score(noisy, level), level.like(noisy)
    assert torch.allclose(score, slope, atol=1e-10)
    assert torch.allclose(at.sigma.square() * score, at.alpha * mixture.denoise(noisy, level) - noisy, atol=1e-10)


def test_the_density_sums_to_one():
    line = torch.linspace(-8, 8, 4001, dtype=F64)[:, None]
    for t in (0.0, 0.3, 1.0):
        mass = world(1).log_probability(line, Cosine()(torch.tensor(t, dtype=F64))).exp().sum() * 16 / 4000
        assert mass == pytest.approx(1, abs=1e-6)


def test_the_ends_are_the_data_and_the_mean():
    mixture, noisy = world(4), torch.randn(5, 4, dtype=F64)
    clean, pure = (Flow()(torch.tensor(t, dtype=F64)) for t in (0.0, 1.0))
    assert torch.allclose(mixture.denoise(noisy, clean), noisy)
    assert torch.isfinite(mixture.score(noisy, clean)).all()
    assert torch.allclose(mixture.denoise(noisy, pure), (mixture.weights @ mixture.means).expand(5, 4))


def test_samples_follow_the_density():
    """A histogram of a hundred thousand samples on a line is the density's."""
    mixture = world(1)
    points = mixture.sample(100_000, torch.Generator().manual_seed(0))[:, 0]
    edges = torch.linspace(-4, 4, 41, dtype=F64)
    clean = Level(torch.ones((), dtype=F64), torch.zeros((), dtype=F64))
    fine = (edges[:-1, None] + torch.linspace(0, 0.2, 101, dtype=F64)[None]).reshape(-1, 1)
    expected = mixture.log_probability(fine, clean).exp().reshape(40, 101).mean(1) * 0.2
    found = torch.histogram(points, edges).hist / len(points)
    assert (found - expected).abs().max() < 4 * math.sqrt(0.25 / 100_000)
