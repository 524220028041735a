"""The pull toward something seen: exact where the truth is known."""

import pytest
import torch

from sfumato.diffusion.levels import CLEAN, PURE_NOISE, Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.processes import Cosine, Flow, Karras
from sfumato.diffusion.pull import pulled
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import heun
from sfumato.diffusion.times import timetable

MEAN, STD = torch.tensor([[0.7, -1.2]], dtype=torch.float64), 0.6


def world():
    return GaussianMixture(MEAN, torch.tensor([STD], dtype=torch.float64), torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("process", [Cosine(), Flow(), Karras()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("strength", [0.3, 5.0])
def test_in_a_gaussian_world_it_is_the_mean_given_the_noisy_data_and_the_target(process, strength):
    """By hand: three independent Gaussian witnesses of the clean data, weighted by their precisions."""
    torch.manual_seed(0)
    noisy, target = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    level = process(torch.tensor([0.1, 0.4, 0.8, 0.95]))
    alpha, sigma = level.alpha[:, None], level.sigma[:, None]
    precisions = torch.stack([torch.full_like(alpha, STD**-2), (alpha / sigma) ** 2, torch.full_like(alpha, strength)])
    said = torch.stack([MEAN.expand(4, 2), noisy / alpha, target])
    by_hand = (precisions * said).sum(0) / precisions.sum(0)
    assert torch.allclose(pulled(world().denoise, target, strength, STD)(noisy, level), by_hand)


def test_the_length_of_a_level_does_not_matter():
    noisy, target = torch.randn(3, 2, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)
    level = Cosine()(torch.tensor([0.2, 0.5, 1.0]))
    denoise = pulled(world().denoise, target, 2.0)
    assert torch.allclose(denoise(noisy, level), denoise(3 * noisy, Level(3 * level.alpha, 3 * level.sigma)))


def test_strength_zero_leaves_the_denoiser_and_the_clean_level_leaves_the_data():
    noisy, target = torch.randn(3, 2, dtype=torch.float64), torch.full((3, 2), 9.0, dtype=torch.float64)
    level = Cosine()(torch.tensor([0.2, 0.5, 1.0]))
    assert torch.equal(pulled(world().denoise, target, 0.0)(noisy, level), world().denoise(noisy, level))
    assert torch.allclose(pulled(world().denoise, target, 10.0)(noisy, CLEAN), noisy)


def test_each_sample_has_its_own_strength():
    target = torch.full((2, 2), 9.0, dtype=torch.float64)
    noisy = torch.zeros(2, 2, dtype=torch.float64)
    both = pulled(world().denoise, target, torch.tensor([0.0, 4.0]))(noisy, PURE_NOISE)
    for row, strength in enumerate([0.0, 4.0]):
        assert torch.allclose(both[row], pulled(world().denoise, target, strength)(noisy, PURE_NOISE)[row])


def test_sampling_with_a_pull_draws_from_the_posterior():
    """The whole way from noise: mean and deviation are those of the data given the target."""
    strength, count = 2.0, 4000
    noise = per_sample_noise(range(count))
    target = torch.tensor([[2.0, 1.0]], dtype=torch.float64).expand(count, 2)
    start = noise(torch.empty(count, 2, dtype=torch.float64))
    made = last(sample(pulled(world().denoise, target, strength, STD), start, timetable(Cosine(), 40), noise, heun))
    precision = STD**-2 + strength
    mean = (MEAN * STD**-2 + target * strength)[0] / precision
    assert torch.allclose(made.mean(0), mean, atol=0.03)
    assert torch.allclose(made.std(0), torch.full((2,), precision**-0.5, dtype=torch.float64), rtol=0.04)


def test_half_precision_is_pulled_at_every_level_of_noise():
    levels = Karras(high=700.0)(torch.linspace(0, 1, 5))
    noisy, target = torch.zeros(5, 2), torch.full((5, 2), 2.0)
    exact = pulled(lambda noisy, level: noisy, target, 1.0)(noisy, levels)
    half = pulled(lambda noisy, level: noisy, target.half(), 1.0)(noisy.half(), levels)
    assert torch.allclose(half.float(), exact, atol=2e-3)
