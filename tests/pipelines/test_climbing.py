"""A classifier as a Denoise: its odds, its gradient, its guidance."""

from dataclasses import replace

import pytest
import torch

from sfumato.diffusion.ascent import ascend, gradient
from sfumato.diffusion.levels import Level
from sfumato.diffusion.principal import Principal
from sfumato.errors import CheckpointError
from sfumato.networks.classifier import Classifier, ClassifierConfig
from sfumato.pipelines.climbing import (
    PROCESS,
    climbing,
    load_reference,
    log_density,
    log_odds,
    potentials,
    save_reference,
    told,
)


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    network = Classifier(ClassifierConfig(channels=(8, 16), classes=3, told_level=True))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=[0, 5], ids=["mere noise", "five directions"])
def reference(request):
    pictures = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(2)) - 0.2
    return Principal.fitted(pictures, request.param)


@pytest.fixture
def noisy():
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_the_estimate_moves_from_that_of_the_reference_along_the_gradient_of_the_log_odds(classifier, reference, noisy):
    level = PROCESS(torch.tensor([0.3, 0.5, 0.7, 0.9]))
    classes = torch.tensor([0, 1, 2, 0])
    clean = climbing(classifier, reference, classes)(noisy, level)
    at, point = level.like(noisy), noisy.clone().requires_grad_()
    odds = log_odds(classifier, point, told(level).float())
    slope = torch.autograd.grad(odds.gather(1, classes[:, None]).sum(), point)[0]
    moved = reference.denoise(noisy, level) + at.sigma**2 / at.alpha * slope
    assert torch.allclose(clean, moved, atol=1e-4)


def test_any_class_follows_the_log_of_the_summed_odds(classifier, reference, noisy):
    level = PROCESS(torch.full((4,), 0.4))
    clean = climbing(classifier, reference, torch.full((4,), -1))(noisy, level)
    at, point = level.like(noisy), noisy.clone().requires_grad_()
    slope = torch.autograd.grad(log_odds(classifier, point, told(level).float()).logsumexp(1).sum(), point)[0]
    moved = reference.denoise(noisy, level) + at.sigma**2 / at.alpha * slope
    assert torch.allclose(clean, moved, atol=1e-4)


def test_guidance_goes_from_any_class_through_the_class(classifier, reference, noisy):
    level, classes = PROCESS(torch.full((4,), 0.6)), torch.tensor([2, 1, 0, 1])
    any_class, one, three = (
        climbing(classifier, reference, *settings)(noisy, level)
        for settings in ((torch.full_like(classes, -1),), (classes, 1.0), (classes, 3.0))
    )
    assert torch.allclose(three, any_class + 3 * (one - any_class), atol=1e-4)


def test_pure_noise_has_a_finite_estimate_and_a_picture_a_pass_gives_the_same(classifier, reference, noisy):
    level, classes = PROCESS(torch.ones(4)), torch.tensor([2, -1, 0, 1])
    together = climbing(classifier, reference, classes, 2.0)(noisy, level)
    assert torch.isfinite(together).all()
    assert torch.allclose(
        together, climbing(classifier, reference, classes, 2.0, pictures_a_pass=1)(noisy, level), atol=1e-5
    )


def test_the_gradient_can_be_followed_where_inference_is_on(classifier, reference, noisy):
    level, classes = PROCESS(torch.tensor(0.5)), torch.tensor([0, 1, 2, 0])
    expected = climbing(classifier, reference, classes)(noisy, level)
    with torch.inference_mode():
        found = climbing(classifier, reference, classes + 0)(noisy + 0, PROCESS(torch.tensor(0.5)))
    assert torch.allclose(found, expected, atol=1e-6)
    assert not found.requires_grad


def test_potentials_do_not_shrink_when_pictures_grow(classifier):
    small, large = (potentials(classifier, torch.zeros(1, 3, side, side), torch.tensor([500.0])) for side in (32, 64))
    assert (large / small).mean().item() == pytest.approx(4, rel=0.25)


def test_climbing_the_density_raises_the_odds_of_the_class(classifier, reference, noisy):
    classes = torch.tensor([0, 1, 2, 0])
    sigma = torch.full((8,), 0.5, dtype=torch.float64)
    density = log_density(classifier, reference, classes)
    levels = Level(torch.ones_like(sigma), sigma)
    *_, state = ascend(density, noisy, levels, torch.zeros_like, size=0.05, temperature=0)
    assert (density(state.noisy, levels[:1]) > density(noisy, levels[:1])).all()


def test_the_network_must_be_told_the_level(classifier, noisy):
    with pytest.raises(ValueError, match="level"):
        classifier(noisy)


def test_the_density_has_the_score_of_the_denoiser(classifier, reference, noisy):
    classes, sigma = torch.tensor([0, 1, 2, 0]), torch.tensor(0.7, dtype=torch.float64)
    level = Level(torch.ones_like(sigma), sigma)
    score = gradient(lambda x: log_density(classifier, reference, classes)(x, level), noisy)
    clean = climbing(classifier, reference, classes)(noisy, level)
    assert torch.allclose(noisy + sigma.float() ** 2 * score, clean, atol=1e-4)


def test_a_reference_comes_back_from_its_file(reference, tmp_path):
    save_reference(tmp_path, reference)
    again = load_reference(tmp_path, torch.device("cpu"))
    assert all(torch.equal(getattr(again, name), getattr(reference, name)) for name in ("mean", "directions", "rest"))
    save_reference(tmp_path, replace(reference, rest=torch.ones(2)))
    with pytest.raises(CheckpointError, match="no reference"):
        load_reference(tmp_path, torch.device("cpu"))
