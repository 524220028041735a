"""Guidance: every kind against its paper's formula, in the paper's own coordinates, on a world with a known truth."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfumato.diffusion.guidance import (
    Momentum,
    guided,
    guided_in_one_pass,
    plus_plus,
    projected,
    rescaled,
    scaled,
    weighted,
    within,
)
from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.processes import Cosine, Flow, Karras, scaled_linear_betas
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import euler
from sfumato.diffusion.times import timetable

F64 = torch.float64


def world(means, std=0.3):
    means = torch.tensor(means, dtype=F64)
    return GaussianMixture(means, torch.full((len(means),), std, dtype=F64), torch.full((len(means),), 1 / len(means)))


EVERYTHING = world([[1.0, 0.5], [-1.0, 0.0], [0.0, -1.5]])
ONE = world([[1.0, 0.5]])
GOOD, BAD = ONE.denoise, EVERYTHING.denoise

each_process = pytest.mark.parametrize(
    "process", [Flow(), Cosine(), Karras(), scaled_linear_betas()], ids=lambda p: type(p).__name__
)


def rules(levels):
    return {
        "scaled": scaled(4.0),
        "weighted": weighted(3.0),
        "rescaled": rescaled(4.0, 0.7),
        "plus_plus": plus_plus(0.6, levels),
        "projected": projected(4.0, longest=1.0),
        "rescaled projected": rescaled(projected(4.0), 0.5),
    }


each_rule = pytest.mark.parametrize("name", rules(timetable(Flow(), 5)))


def noisy_at(level, count=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return level.add_noise(EVERYTHING.sample(count, generator), torch.randn(count, 2, generator=generator, dtype=F64))


def silent(sample):
    return torch.zeros_like(sample)


@given(weight=st.floats(-2, 10))
def test_the_weight_of_ho_and_salimans_is_in_units_of_noise_and_the_scale_is_one_more(weight):
    level = Cosine()(torch.tensor([0.1, 0.3, 0.5, 0.8, 0.99]))
    noisy, at = noisy_at(level), level.like(torch.empty(5, 2, dtype=F64))
    noises = [(noisy - at.alpha * denoise(noisy, level)) / at.sigma for denoise in (GOOD, BAD)]
    noise = (1 + weight) * noises[0] - weight * noises[1]  # their eq. 6
    truth = (noisy - at.sigma * noise) / at.alpha
    assert torch.allclose(guided(GOOD, BAD, weighted(weight))(noisy, level), truth, rtol=1e-9, atol=1e-9)
    assert torch.allclose(guided(GOOD, BAD, 1 + weight)(noisy, level), truth, rtol=1e-9, atol=1e-9)


@each_process
def test_scale_one_is_the_conditional_model_and_scale_zero_the_other(process):
    level = process(torch.linspace(0.01, 1, 5))
    noisy = noisy_at(level)
    for rule in (1.0, rescaled(1.0), projected(1.0, longest=0.5), torch.ones(5)):
        assert torch.allclose(guided(GOOD, BAD, rule)(noisy, level), GOOD(noisy, level), atol=1e-12)
    assert torch.equal(guided(GOOD, BAD, 0.0)(noisy, level), BAD(noisy, level))


@each_rule
def test_one_pass_equals_two(name):
    rule, level = rules(timetable(Cosine(), 5))[name], Cosine()(torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0]))
    noisy = noisy_at(level)

    def both(noisy, level):
        halves = noisy.chunk(2), (level[: len(level) // 2], level[len(level) // 2 :])
        return torch.cat([denoise(n, at) for denoise, n, at in zip((GOOD, BAD), *halves, strict=True)])

    assert torch.equal(guided_in_one_pass(both, rule)(noisy, level), guided(GOOD, BAD, rule)(noisy, level))


@each_rule
def test_a_sample_is_guided_the_same_alone_and_in_any_batch(name):
    levels = timetable(Cosine(), 5)
    rule, level = rules(levels)[name], levels[:5]
    noisy = noisy_at(level)
    together = guided(GOOD, BAD, rule)(noisy, level)
    for i in range(5):
        alone = guided(GOOD, BAD, rule)(noisy[i : i + 1], level[i])
        assert torch.equal(together[i : i + 1], alone)


@pytest.mark.parametrize("kind", [scaled, weighted, rescaled, projected, lambda s: plus_plus(s, timetable(Flow(), 4))])
def test_a_scale_per_sample_is_that_scale_for_each(kind):
    level, scales = Flow()(torch.tensor([0.3, 0.5, 0.9])), [0.5, 2.0, 7.5]
    noisy = noisy_at(level, 3)
    together = guided(GOOD, BAD, kind(torch.tensor(scales, dtype=F64)))(noisy, level)
    for i, scale in enumerate(scales):
        alone = guided(GOOD, BAD, kind(scale))(noisy[i : i + 1], level[i])
        assert torch.allclose(together[i : i + 1], alone, rtol=1e-12)


@each_process
@each_rule
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_kind_makes_a_nan_between_pure_noise_and_clean(process, name, dtype):
    levels = timetable(process, 4)
    rule = rules(levels)[name]
    for level in levels:
        good, bad = torch.randn(2, 3, 8).to(dtype)
        for pair in ((good, bad), (good, good), (torch.zeros_like(good), bad), (torch.zeros_like(good),) * 2):
            made = rule(*pair, level)
            assert torch.isfinite(made).all()
            assert made.dtype == dtype


@each_process
@each_rule
def test_a_level_of_any_length_is_the_same_level(process, name):
    levels = timetable(process, 6)
    rule, level = rules(levels)[name], levels[:5]
    noisy = noisy_at(level)
    longer = guided(GOOD, BAD, rule)(noisy * 7, Level(level.alpha * 7, level.sigma * 7))
    assert torch.allclose(longer, guided(GOOD, BAD, rule)(noisy, level), rtol=1e-9)


# --- rescale ----------------------------------------------------------------------------------------------------------


@given(scale=st.floats(1, 20), amount=st.floats(0, 1))
def test_rescale_is_lin_et_al_equations_14_to_16(scale, amount):
    positive, negative = torch.randn(2, 3, 4, 5, 5, dtype=F64, generator=torch.Generator().manual_seed(1))
    every = (1, 2, 3)
    x_cfg = negative + scale * (positive - negative)
    x_rescaled = x_cfg * (positive.std(every, keepdim=True) / x_cfg.std(every, keepdim=True))
    truth = amount * x_rescaled + (1 - amount) * x_cfg
    found = rescaled(scale, amount)(positive, negative, Level(torch.tensor(0.5), torch.tensor(0.5)))
    assert torch.allclose(found, truth, rtol=1e-9)
    whole = rescaled(scale, 1.0)(positive, negative, Level(torch.tensor(0.5), torch.tensor(0.5)))
    assert torch.allclose(whole.std(every), positive.std(every), rtol=1e-9)


# --- a limited interval -----------------------------------------------------------------------------------------------


def counted(denoise):
    def counting(noisy, level):
        counting.calls += 1
        return denoise(noisy, level)

    counting.calls = 0
    return counting


def test_outside_the_interval_the_conditional_model_works_alone():
    bad, levels = counted(BAD), timetable(Karras(), 10)
    denoise = within(guided(GOOD, bad, 4.0), GOOD, low=0.3, high=5.0)
    for level in levels:
        noisy, inside = noisy_at(level), bool(0.3 < level.sigma <= 5.0)
        before = bad.calls
        expected = guided(GOOD, BAD, 4.0) if inside else GOOD
        assert torch.equal(denoise(noisy, level), expected(noisy, level))
        assert bad.calls == before + inside
    assert 0 < bad.calls < 10


def test_the_interval_is_asked_of_every_sample_for_itself():
    ratios = torch.tensor([0.0, 0.3, 0.31, 5.0, 5.1, torch.inf], dtype=F64)
    level = Level(torch.ones(6, dtype=F64), ratios)
    level = Level(torch.where(ratios.isinf(), 0.0, level.alpha), torch.where(ratios.isinf(), 1.0, level.sigma))
    noisy = noisy_at(level, 6)
    made = within(guided(GOOD, BAD, 4.0), GOOD, low=0.3, high=5.0)(noisy, level)
    inside = torch.tensor([False, False, True, True, False, False])
    assert torch.equal(made[inside], guided(GOOD, BAD, 4.0)(noisy, level)[inside])
    assert torch.equal(made[~inside], GOOD(noisy, level)[~inside])
    whole = within(guided(GOOD, BAD, 4.0), GOOD)(noisy, level)
    assert torch.equal(whole[1:], guided(GOOD, BAD, 4.0)(noisy, level)[1:])


# --- CFG++ ------------------------------------------------------------------------------------------------------------


@each_process
@pytest.mark.parametrize("strength", [0.0, 0.3, 0.6, 1.0])
def test_a_ddim_step_with_cfg_plus_plus_is_the_update_of_the_paper(process, strength):
    """Chung et al. 2024: the guided estimate of clean data with the unguided noise."""
    levels = timetable(process, 8)
    denoise = guided(GOOD, BAD, plus_plus(strength, levels))
    noisy = noisy_at(levels[0])
    by_hand = noisy
    for here, there in pairwise(levels):
        good, bad = GOOD(by_hand, here), BAD(by_hand, here)
        clean = bad + strength * (good - bad)
        unguided_noise = (by_hand - here.alpha * bad) / here.sigma
        by_hand = there.alpha * clean + there.sigma * unguided_noise
        noisy, _ = euler(denoise, noisy, here, there, None, silent)
        assert torch.allclose(noisy, by_hand, rtol=1e-7, atol=1e-9)


def test_cfg_plus_plus_finds_the_place_of_every_sample_in_its_timetable():
    levels = timetable(Cosine(), 6)
    rule, rows = plus_plus(0.5, levels), torch.tensor([0, 3, 5])
    noisy = noisy_at(levels[rows], 3)
    together = guided(GOOD, BAD, rule)(noisy, levels[rows])
    own = Level(torch.stack([levels.alpha] * 3, 1), torch.stack([levels.sigma] * 3, 1))
    assert torch.equal(guided(GOOD, BAD, plus_plus(0.5, own))(noisy, levels[rows]), together)
    # from pure noise, and in the step to clean, the scale is the strength itself
    plain = guided(GOOD, BAD, 0.5)(noisy, levels[rows])
    assert torch.allclose(together[[0, 2]], plain[[0, 2]])
    assert not torch.allclose(together[1], plain[1])


# --- APG --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("longest", [0.05, 0.3, math.inf])
def test_projected_guidance_is_that_of_sadat_et_al(eta, longest):
    rule, scale, beta = projected(7.0, eta, longest, Momentum(-0.5)), 7.0, -0.5
    before = torch.zeros(3, 4, 5, 5, dtype=F64)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        good, bad = torch.randn(2, 3, 4, 5, 5, dtype=F64, generator=generator)
        before = (good - bad) + beta * before
        made = rule(good, bad, Level(torch.tensor(0.5), torch.tensor(0.5)))
        for i in range(3):
            away, towards = before[i].flatten(), good[i].flatten()
            away = away * min(1.0, longest * 10 / away.norm().item())  # of 100 numbers
            along = (away @ towards) / (towards @ towards) * towards
            truth = towards + (scale - 1) * (away - along + eta * along)
            assert torch.allclose(made[i].flatten(), truth, rtol=1e-9)


def test_a_momentum_is_a_memory_and_without_one_the_rule_is_pure():
    good, bad, level = torch.ones(1, 2), torch.zeros(1, 2), Flow()(torch.tensor(0.5))
    pure, remembering = projected(2.0, 1.0), projected(2.0, 1.0, momentum=Momentum(-0.5))
    assert torch.equal(pure(good, bad, level), pure(good, bad, level))
    assert not torch.equal(remembering(good, bad, level), remembering(good, bad, level))


# --- autoguidance -----------------------------------------------------------------------------------------------------


def test_a_weaker_model_guides_to_what_is_likely_and_keeps_both_classes():
    """Autoguidance (Karras et al. 2024, section 3): the weak model has spread its classes too widely."""
    truth, weak = world([[1.5, 0.0], [-1.5, 0.0]], std=0.3), world([[1.5, 0.0], [-1.5, 0.0]], std=0.6)
    levels = timetable(Karras(0.02, 20), 30)
    start = torch.randn(400, 2, dtype=F64, generator=torch.Generator().manual_seed(0)) * levels.sigma[0]

    def made(denoise):
        points = last(sample(denoise, start, levels, silent))
        distance = (points - torch.where(points[:, :1] > 0, 1.0, -1.0) * truth.means[0]).norm(dim=1)
        return distance.square().mean().sqrt().item(), (points[:, 0] > 0).double().mean().item()

    plain, guided_by_weak = made(truth.denoise), made(guided(truth.denoise, weak.denoise, 2.0))
    assert guided_by_weak[0] < 0.7 * plain[0]
    assert 0.4 < guided_by_weak[1] < 0.6
