"""Predictions, losses and guidance: each kind of network reads back to the same clean data."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.diffusion import losses, parameterisation
from sfumato.diffusion.guidance import guided, guided_in_one_pass
from sfumato.diffusion.levels import Level
from sfumato.diffusion.parameterisation import Parameterisation, Timestep, edm_noise, flow_time
from sfumato.diffusion.processes import (
    Cosine,
    Flow,
    Karras,
    scaled_linear_betas,
    sigmoid_betas,
    zero_terminal_snr,
)

KINDS = [
    ("noise", Cosine()),
    ("v", Cosine()),
    ("data", Cosine()),
    ("flow", Flow()),
    ("edm", Karras()),
]


def perfect(kind, clean, noise, level):
    """What a perfect network of each kind says, from the papers' definitions."""
    here = level.like(clean)
    return {
        "noise": noise,
        "v": here.alpha * noise - here.sigma * clean,
        "data": clean,
        "flow": noise - clean,
        "edm": (clean - 0.25 / (here.sigma**2 + 0.25) * (clean + here.sigma * noise))
        * (here.sigma**2 + 0.25).sqrt()
        / (0.5 * here.sigma),
    }[kind]


@pytest.mark.parametrize(("kind", "process"), KINDS)
def test_a_perfect_network_gives_back_the_clean_data_and_no_loss(kind, process):
    clean, noise = torch.randn(5, 3, 4, 4, dtype=torch.float64), torch.randn(5, 3, 4, 4, dtype=torch.float64)
    level = process(torch.linspace(0.05, 0.95, 5))
    network = lambda x, label: perfect(kind, clean, noise, level)  # noqa: E731
    habits = Parameterisation(getattr(parameterisation, kind), lambda level: level.sigma)
    estimate = habits.denoiser(network)(level.add_noise(clean, noise), level)
    assert torch.allclose(estimate, clean, atol=1e-9)
    assert losses.denoising_loss(network, habits, clean, noise, level).max() < 1e-12


@pytest.mark.parametrize(("kind", "process"), KINDS)
def test_a_weight_weighs_the_error_of_the_clean_estimate(kind, process):
    clean, noise = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    level = process(torch.tensor([0.2, 0.4, 0.6, 0.8]))
    network = lambda x, label: torch.tanh(x)  # noqa: E731
    habits = Parameterisation(getattr(parameterisation, kind), lambda level: level.sigma)
    estimate = habits.denoiser(network)(level.add_noise(clean, noise), level)
    by_hand = losses.min_snr(level) * (estimate - clean).square().mean(1)
    found = losses.denoising_loss(network, habits, clean, noise, level, losses.min_snr)
    assert torch.allclose(found, by_hand.float(), rtol=1e-5)


def test_without_a_weight_noise_prediction_has_the_simple_loss():
    clean, noise = torch.randn(4, 6), torch.randn(4, 6)
    level = Cosine()(torch.tensor([0.2, 0.4, 0.6, 0.8]))
    habits = Parameterisation(parameterisation.noise, lambda level: level.sigma)
    network = lambda x, label: x * 0.5  # noqa: E731
    simple = (noise - 0.5 * level.add_noise(clean, noise)).square().mean(1)
    assert torch.allclose(losses.denoising_loss(network, habits, clean, noise, level), simple, rtol=1e-4)
    assert torch.allclose(losses.denoising_loss(network, habits, clean, noise, level, losses.snr), simple, rtol=1e-4)


@pytest.mark.parametrize("kind", ["noise", "v", "data", "flow", "edm"])
def test_habits_are_finite_at_pure_noise_and_at_clean(kind):
    ends = Level(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
    for value in getattr(parameterisation, kind)(ends):
        assert torch.isfinite(value).all()


@pytest.mark.parametrize(("kind", "process"), KINDS)
def test_a_denoiser_takes_a_level_of_any_length(kind, process):
    """The same noisy data in the coordinates of another process give the same estimate."""
    level, noisy = process(torch.tensor([0.1, 0.4, 0.9])), torch.randn(3, 4, dtype=torch.float64)
    longer = Level(level.alpha * 7, level.sigma * 7)
    denoise = Parameterisation(getattr(parameterisation, kind), edm_noise).denoiser(lambda x, label: torch.tanh(x))
    assert torch.allclose(denoise(noisy, level), denoise(noisy * 7, longer), rtol=1e-12)


def test_labels_are_what_networks_were_trained_with():
    table = scaled_linear_betas()
    label = Timestep(table)
    assert label(table(torch.tensor([0.001, 0.5, 1.0]))).tolist() == pytest.approx([0, 499, 999], abs=1e-6)
    assert flow_time(Flow(3.0)(torch.tensor(0.5))).item() == pytest.approx(750)
    assert edm_noise(Level(torch.tensor(1.0), torch.tensor(80.0))).item() == pytest.approx(1.0955, abs=1e-4)
    assert torch.isfinite(edm_noise(Level(torch.tensor(1.0), torch.tensor(0.0))))


def test_guidance_in_one_pass_equals_guidance_in_two():
    good, bad = torch.randn(3, 2, 2, 2), torch.randn(3, 2, 2, 2)
    both = lambda noisy, level: noisy * 2 + torch.cat([good, bad])  # noqa: E731
    noisy, level = torch.randn(3, 2, 2, 2), Flow()(torch.tensor([0.1, 0.5, 0.9]))
    scale = torch.tensor([1.0, 4.0, 7.5])
    two = guided(lambda n, _: n * 2 + good, lambda n, _: n * 2 + bad, scale)(noisy, level)
    assert torch.allclose(guided_in_one_pass(both, scale)(noisy, level), two, atol=1e-6)
    assert torch.allclose(two[:1], noisy[:1] * 2 + good[:1], atol=1e-6)  # scale 1 is the conditional model itself


def test_level_distributions_follow_their_papers():
    u = losses.stratified(20_000, torch.Generator().manual_seed(0))
    assert losses.uniform(u).mean() == pytest.approx(0.5, abs=0.01)
    logits = torch.logit(losses.logit_normal(u, mean=0.4, std=0.8))
    assert (logits.mean().item(), logits.std().item()) == pytest.approx((0.4, 0.8), abs=0.02)
    sigma = Karras()(losses.log_normal_sigma(u, Karras())).sigma.log()
    assert (sigma.mean().item(), sigma.std().item()) == pytest.approx((-1.2, 1.2), abs=0.02)


def test_stratified_draws_are_seeded_and_even():
    draw = losses.stratified(10, torch.Generator().manual_seed(3))
    assert torch.equal(draw, losses.stratified(10, torch.Generator().manual_seed(3)))
    assert torch.allclose(draw.sort().values.diff(), torch.full((9,), 0.1, dtype=torch.float64))


# --- any family of levels, any kind of network, any shape -------------------------------------------------------------

FAMILIES = [
    Cosine(),
    Flow(),
    Flow(3.0),
    Karras(),
    scaled_linear_betas(),
    zero_terminal_snr(scaled_linear_betas()),
    sigmoid_betas(),
]
SHAPES = [(1,), (7,), (2, 3), (3, 4, 4), (2, 1, 3, 3)]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-3, torch.bfloat16: 0.5}


def perfect_at(kind, clean, noise, level):
    """What a perfect network says, at a level of any length: as at the same level of the length it was trained with."""
    alpha, sigma = level.alpha, level.sigma
    length = {"flow": alpha + sigma, "edm": alpha}.get(kind, torch.hypot(alpha, sigma))
    return perfect(kind, clean.double(), noise.double(), Level(alpha / length, sigma / length)).to(clean.dtype)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["noise", "v", "data", "flow", "edm"]),
    family=st.sampled_from(FAMILIES),
    shape=st.sampled_from(SHAPES),
    dtype=st.sampled_from(list(TOLERANCE)),
    times=st.lists(st.floats(0.02, 0.95), min_size=3, max_size=3),
    length=st.floats(0.1, 10),
)
def test_every_kind_of_network_reads_back_at_levels_of_every_family(kind, family, shape, dtype, times, length):
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(3, *shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    on_path = family(torch.tensor(times))
    level = Level(on_path.alpha * length, on_path.sigma * length)
    habits = Parameterisation(getattr(parameterisation, kind), edm_noise)
    denoise = habits.denoiser(lambda x, label: perfect_at(kind, clean, noise, level))
    found = denoise(level.add_noise(clean, noise), level)
    assert found.dtype == dtype
    # a network of noise says little of the clean data where there is little of it
    room = TOLERANCE[dtype] * (1 + (level.sigma / level.alpha).max().item())
    assert torch.allclose(found, clean, atol=room)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(["noise", "v", "data", "flow", "edm"]),
    shape=st.sampled_from(SHAPES),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_there_is_no_nan_at_either_end_and_samples_at_both_ends_share_a_batch(kind, shape, dtype):
    ends = Level(torch.tensor([0.0, 1.0], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64))
    noisy = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    denoise = Parameterisation(getattr(parameterisation, kind), edm_noise).denoiser(lambda x, label: torch.tanh(x) * 0)
    together = denoise(noisy, ends)
    assert torch.isfinite(together).all()
    assert together.dtype == dtype
    for i in range(2):
        assert torch.equal(denoise(noisy[i : i + 1], ends[i]), together[i : i + 1])


@settings(max_examples=100, deadline=None)
@given(family=st.sampled_from(FAMILIES), t=st.floats(0.0, 1.0), length=st.floats(0.01, 100))
def test_the_time_of_a_level_is_the_time_it_was_made_for_whatever_its_length(family, t, length):
    level = family(torch.tensor(t, dtype=torch.float64))
    again = family(family.time(Level(level.alpha * length, level.sigma * length)))
    assert torch.allclose(torch.atan2(again.sigma, again.alpha), torch.atan2(level.sigma, level.alpha), atol=1e-7)
