"""Experts: each sample meets the expert of its level, and nothing else changes."""

import pytest
import torch

from sfumato.diffusion import losses
from sfumato.diffusion.experts import expert_of, experts
from sfumato.diffusion.levels import CLEAN, PURE_NOISE, Level
from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.processes import Cosine, Flow, Karras, cosine_betas, shifted
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.times import timetable

F64 = torch.float64
TIMES = torch.tensor([0.3, 0.7], dtype=F64)
WORLD = GaussianMixture(
    torch.tensor([[1.0, 0.5], [-1.0, 0.0]], dtype=F64),
    torch.tensor([0.3, 0.5], dtype=F64),
    torch.tensor([0.4, 0.6], dtype=F64),
)


def telling(number, conditions, calls):
    """An expert that says its number and the condition of each sample, and writes down who asked."""

    def some(rows):
        def denoise(noisy, level):
            calls.append((number, rows.tolist()))
            assert level.alpha.ndim == 0 or len(level) == len(noisy) == len(rows)
            return noisy * 0 + 100 * number + conditions[rows, None]

        return denoise

    return some


def test_each_sample_goes_to_the_expert_of_its_level_with_its_own_condition():
    calls, conditions = [], torch.arange(5, dtype=F64)
    denoise = experts([telling(i, conditions, calls) for i in range(3)], Cosine()(TIMES))
    level = Cosine()(torch.tensor([0.9, 0.1, 0.5, 0.2, 1.0], dtype=F64))
    found = denoise(torch.randn(5, 2, dtype=F64), level)
    assert found[:, 0].tolist() == [200, 1, 102, 3, 204]
    assert calls == [(0, [1, 3]), (1, [2]), (2, [0, 4])]


@pytest.mark.parametrize("process", [Cosine(), Flow(), Karras()], ids=lambda p: type(p).__name__)
def test_a_level_for_all_asks_one_expert_and_gives_what_it_gives_alone(process):
    calls = []
    denoise = experts([telling(i, torch.zeros(4), calls) for i in range(3)], process(TIMES))
    for number, time in enumerate((0.2, 0.5, 0.8)):
        level = process(torch.tensor(time, dtype=F64))
        assert torch.equal(denoise(torch.randn(4, 2), level), torch.full((4, 2), 100.0 * number))
        assert calls.pop() == (number, [0, 1, 2, 3])
        assert not calls


def test_mixed_levels_give_what_each_sample_gets_alone():
    generator = torch.Generator().manual_seed(0)
    handovers, level = Cosine()(TIMES), Cosine()(torch.rand(16, generator=generator, dtype=F64))
    noisy = torch.randn(16, 2, generator=generator, dtype=F64)
    kinds = [lambda rows, k=k: lambda noisy, level: WORLD.denoise(noisy, level) * k for k in (1, 2, 3)]
    together = experts(kinds, handovers)(noisy, level)
    for i, number in enumerate(expert_of(level, handovers).tolist()):
        assert torch.equal(together[i : i + 1], kinds[number](None)(noisy[i : i + 1], level[i : i + 1]))


def test_the_expert_depends_on_the_ratio_of_signal_and_noise_alone():
    level, length = Cosine()(torch.linspace(0.05, 0.95, 7, dtype=F64)), torch.linspace(0.1, 30, 7, dtype=F64)
    longer = Level(level.alpha * length, level.sigma * length)
    assert torch.equal(expert_of(level, Cosine()(TIMES)), expert_of(longer, Cosine()(TIMES)))
    assert (expert_of(CLEAN, Cosine()(TIMES)), expert_of(PURE_NOISE, Cosine()(TIMES))) == (0, 2)


def test_experts_that_all_know_the_truth_sample_as_one_that_does():
    levels, noise = timetable(Cosine(), 12), per_sample_noise(range(8))
    start = noise(torch.empty(8, 2, dtype=F64))
    denoise = experts([lambda rows: WORLD.denoise] * 3, Cosine()(TIMES))
    alone, together = (last(sample(d, start, levels, noise)) for d in (WORLD.denoise, denoise))
    assert torch.equal(alone, together)


@pytest.mark.parametrize("times", [losses.uniform, losses.logit_normal])
def test_an_expert_trains_on_its_range_as_often_as_one_denoiser_of_all_levels_would(times):
    u = losses.stratified(20_000, torch.Generator().manual_seed(0))
    every, own = times(u), losses.within(times, 0.3, 0.7)(u)
    assert own.min() >= 0.3
    assert own.max() <= 0.7
    theirs = every[(every >= 0.3) & (every <= 0.7)]
    quantiles = torch.linspace(0.05, 0.95, 10, dtype=F64)
    assert torch.allclose(own.quantile(quantiles), theirs.quantile(quantiles), atol=2e-3)


@pytest.mark.parametrize("shift", [0.5, 2.0, 4.0])
def test_a_shift_puts_so_many_times_more_noise_beside_the_data_at_every_time(shift):
    times = torch.arange(1, 1000, dtype=F64) / 1000
    for before, after in ((cosine_betas(), shifted(cosine_betas(), shift)), (Flow(), Flow(shift))):
        moved = before(times).log_snr - after(times).log_snr
        assert torch.allclose(moved, torch.full_like(moved, shift).log(), atol=1e-6)
