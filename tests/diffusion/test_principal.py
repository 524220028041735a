"""The Gaussian of principal variations: fitted to what it should be, denoised exactly."""

import pytest
import torch

from sfumato.diffusion.levels import CLEAN, PURE_NOISE
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.parameterisation import Parameterisation, v
from sfumato.diffusion.principal import Principal
from sfumato.diffusion.processes import Cosine, Flow

F64 = torch.float64


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=F64)
    return torch.randn(4000, 6, generator=generator, dtype=F64) @ root + 2


def test_with_all_directions_it_has_the_mean_and_covariance_of_the_data(data):
    world = Principal.fitted(data, 6)
    drawn = world.draw(torch.randn(200_000, 6, dtype=F64))
    assert torch.allclose(world.mean, data.mean(0))
    assert torch.allclose(drawn.T.cov(), data.T.cov(), atol=0.25)
    covariance = world.directions.T @ (world.variances[:, None] * world.directions)
    assert torch.allclose(covariance, data.T.cov(), atol=1e-9)


def test_with_few_directions_the_whole_variance_stays(data):
    world = Principal.fitted(data, 2)
    assert (world.variances.sum() + 4 * world.rest).item() == pytest.approx(data.T.cov().trace().item())
    assert (world.variances.min() > world.rest).item()


@pytest.mark.parametrize("directions", [0, 2, 6])
@pytest.mark.parametrize("process", [Cosine(), Flow()], ids=str)
def test_the_denoiser_is_the_mean_of_the_posterior(data, directions, process):
    world, level = Principal.fitted(data, directions), process(torch.tensor([0.1, 0.5, 0.9]))
    noisy = torch.randn(3, 6, dtype=F64)
    across = torch.eye(6, dtype=F64) - world.directions.T @ world.directions
    prior = world.directions.T @ (world.variances[:, None] * world.directions) + world.rest * across
    for i in range(3):
        alpha, sigma = level[i].alpha, level[i].sigma
        total = alpha**2 * prior + sigma**2 * torch.eye(6, dtype=F64)
        posterior = world.mean + alpha * prior @ torch.linalg.solve(total, noisy[i] - alpha * world.mean)
        assert torch.allclose(world.denoise(noisy, level)[i], posterior, atol=1e-9)
        normal = torch.distributions.MultivariateNormal(alpha * world.mean, total)
        difference = normal.log_prob(noisy[i]) - normal.log_prob(noisy[0])
        ours = world.log_density(noisy, level[i])
        assert (ours[i] - ours[0]).item() == pytest.approx(difference.item(), abs=1e-9)


def test_its_velocity_is_read_as_its_denoiser(data):
    world, level, noisy = (
        Principal.fitted(data, 2),
        Cosine()(torch.tensor([0.02, 0.5, 1.0])),
        torch.randn(3, 6, dtype=F64),
    )
    reading = Parameterisation(v, Cosine().time).denoiser(lambda x, time: world.velocity(x, Cosine()(time)))
    assert torch.allclose(reading(noisy, level), world.denoise(noisy, level), atol=1e-9)


def test_without_directions_it_is_mere_noise(data):
    noise, noisy = Principal.fitted(data, 0), torch.randn(5, 6, dtype=F64)
    same = GaussianMixture(torch.zeros(1, 6, dtype=F64), torch.ones(1, dtype=F64), torch.ones(1, dtype=F64))
    level = Flow()(torch.tensor(0.3))
    assert torch.allclose(noise.denoise(noisy, level), same.denoise(noisy, level))
    assert torch.equal(noise.draw(noisy), noisy)


def test_pure_noise_gives_the_mean_and_the_clean_level_what_the_data_can_be(data):
    world, noisy = Principal.fitted(data, 6), torch.randn(2, 6, dtype=F64)
    assert torch.allclose(world.denoise(noisy, PURE_NOISE), world.mean.expand(2, -1))
    assert torch.allclose(world.denoise(noisy, CLEAN), noisy)
