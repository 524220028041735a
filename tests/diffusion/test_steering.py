"""Steering by gradients: on worlds where the conditional model is known, sign and factor have no freedom."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.processes import Cosine, Flow, Karras, scaled_linear_betas
from sfumato.diffusion.steering import classifier_guided, steered_at_estimate, universally_guided

F64 = torch.float64
MEANS = torch.tensor([[1.0, 0.5], [-1.0, 0.0], [0.0, -1.5]], dtype=F64)
STDS = torch.tensor([0.3, 0.5, 0.4], dtype=F64)
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
EVERYTHING = GaussianMixture(MEANS, STDS, WEIGHTS)
FIRST_TWO = GaussianMixture(MEANS[:2], STDS[:2], WEIGHTS[:2] / WEIGHTS[:2].sum())

each_process = pytest.mark.parametrize(
    "process", [Flow(), Cosine(), Karras(), scaled_linear_betas()], ids=lambda p: type(p).__name__
)


def log_density(world, noisy, level):
    """Of the noisy data, by torch's own distributions."""
    alpha, sigma = (value.to(noisy).reshape(-1, 1, 1) for value in (level.alpha, level.sigma))
    spread = (alpha.square() * world.stds[:, None].square() + sigma.square()).sqrt()
    parts = Independent(Normal(alpha * world.means, spread.expand(-1, -1, 2)), 1)
    return MixtureSameFamily(Categorical(world.weights.expand(len(parts.mean), -1)), parts).log_prob(noisy)


def is_of_the_first_two(noisy, level):
    """log p(class 0 or 1 | noisy), the exact classifier of noisy data."""
    return log_density(FIRST_TWO, noisy, level) + WEIGHTS[:2].sum().log() - log_density(EVERYTHING, noisy, level)


def noisy_at(level, count=5):
    generator = torch.Generator().manual_seed(0)
    return level.add_noise(EVERYTHING.sample(count, generator), torch.randn(count, 2, generator=generator, dtype=F64))


@each_process
def test_the_exact_classifier_makes_the_unconditional_model_the_conditional_one(process):
    level = process(torch.tensor([0.02, 0.2, 0.5, 0.8, 0.95]))
    noisy = noisy_at(level)
    found = classifier_guided(EVERYTHING.denoise, is_of_the_first_two)(noisy, level)
    assert torch.allclose(found, FIRST_TWO.denoise(noisy, level), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("process", [Flow(), Cosine()])
def test_that_holds_in_pure_noise_too(process):
    level = process(torch.tensor(1.0))
    noisy = noisy_at(level)
    found = classifier_guided(EVERYTHING.denoise, is_of_the_first_two)(noisy, level)
    assert torch.allclose(found, FIRST_TWO.denoise(noisy, level), atol=5e-3)
    assert not torch.allclose(found, EVERYTHING.denoise(noisy, level), atol=5e-2)


def test_the_scale_multiplies_the_gradient_of_every_sample():
    level, scales = Flow()(torch.tensor([0.3, 0.5, 0.9])), torch.tensor([0.0, 1.0, 2.5], dtype=F64)
    noisy = noisy_at(level, 3)
    found = classifier_guided(EVERYTHING.denoise, is_of_the_first_two, scales)(noisy, level)
    plain, conditional = EVERYTHING.denoise(noisy, level), FIRST_TWO.denoise(noisy, level)
    assert torch.allclose(found, plain + scales[:, None] * (conditional - plain), rtol=1e-9)


# A Gaussian that is tilted by exp(direction . clean) is the same Gaussian moved by variance * direction. So a
# classifier that is log-linear in the clean data has a known conditional model, and both gradients are exact.
MEAN, STD, DIRECTION = torch.tensor([[0.5, -0.3]], dtype=F64), 0.7, torch.tensor([1.5, -2.0], dtype=F64)
ONE = GaussianMixture(MEAN, torch.tensor([STD], dtype=F64), torch.ones(1, dtype=F64))
TILTED = GaussianMixture(MEAN + STD**2 * DIRECTION, ONE.stds, ONE.weights)


def tilt(clean):
    return clean @ DIRECTION.to(clean)


STEERED = {
    "universally_guided": universally_guided(ONE.denoise, tilt),
    "steered_at_estimate": steered_at_estimate(ONE.denoise, tilt, data_std=STD),
}


@each_process
@pytest.mark.parametrize("name", STEERED)
def test_a_classifier_of_clean_data_tilts_a_gaussian_exactly(name, process):
    level = process(torch.tensor([0.02, 0.2, 0.5, 0.8, 0.95]))
    noisy = noisy_at(level)
    assert torch.allclose(STEERED[name](noisy, level), TILTED.denoise(noisy, level), rtol=1e-9)
    longer = STEERED[name](noisy * 7, Level(level.alpha * 7, level.sigma * 7))
    assert torch.allclose(longer, TILTED.denoise(noisy, level), rtol=1e-9)


@pytest.mark.parametrize("name", STEERED)
def test_both_ends_are_exact_too(name):
    ends = Level(torch.tensor([0.0, 1.0], dtype=F64), torch.tensor([1.0, 0.0], dtype=F64))
    noisy = torch.tensor([[0.3, -1.2], [0.4, 0.1]], dtype=F64)
    assert torch.allclose(STEERED[name](noisy, ends), TILTED.denoise(noisy, ends), atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("off", [torch.inference_mode, torch.no_grad])
@each_process
def test_gradients_are_found_where_they_are_switched_off_and_stay_finite(process, off, dtype):
    world = GaussianMixture(*(value.to(dtype) for value in (MEANS, STDS, WEIGHTS)))
    for t in (0.0, 0.001, 0.5, 1.0):
        with off():
            level = process(torch.tensor([t] * 4))
            noisy = torch.randn(4, 2).to(dtype) * level.like(torch.empty(4, 2)).sigma.to(dtype)
            for steered in (
                universally_guided(world.denoise, tilt),
                steered_at_estimate(world.denoise, tilt),
                classifier_guided(world.denoise, lambda noisy, level: tilt(world.denoise(noisy, level))),
            ):
                made = steered(noisy, level)
                assert torch.isfinite(made).all()
                assert made.dtype == dtype
                assert not made.requires_grad
