"""Tuned times, on a world whose exact denoiser is known: better on noise they were not tuned on."""

import pytest
import torch

from sfumato.diffusion.mixture import GaussianMixture
from sfumato.diffusion.processes import Cosine, Flow, Karras, cosine_betas, scaled_linear_betas, zero_terminal_snr
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import SOLVERS
from sfumato.diffusion.times import SPACINGS, at_times, karras, timetable
from sfumato.diffusion.tuning import tune

F64 = torch.float64
DDPM, DPMPP_2M, EULER, HEUN = (SOLVERS[name] for name in ("ddpm", "dpmpp-2m", "euler", "heun"))
WORLD = GaussianMixture(
    torch.tensor([[1.0, 0.5], [-1.0, 0.0]], dtype=F64),
    torch.tensor([0.3, 0.5], dtype=F64),
    torch.tensor([0.4, 0.6], dtype=F64),
)


def short(process):
    return type(process).__name__


def draw(count, seed):
    return torch.randn(count, 2, dtype=F64, generator=torch.Generator().manual_seed(seed))


def end(noise, levels, solver):
    return last(sample(WORLD.denoise, noise * levels.sigma[0], levels, torch.zeros_like, solver.step))


def error(noise, levels, solver, truth):
    return (end(noise, levels, solver) - truth).square().mean(1).sqrt().mean().item()


@pytest.mark.parametrize(
    "process", [cosine_betas(), Flow(), Karras(), scaled_linear_betas()], ids=lambda p: type(p).__name__
)
@pytest.mark.parametrize(
    ("solver", "steps", "share"),
    # the largest share of the best named spacing's error that was seen: 0.80, 0.55, 0.48 with DPMPP_2M, 0.98 with EULER
    [(DPMPP_2M, 5, 0.85), (DPMPP_2M, 8, 0.6), (DPMPP_2M, 10, 0.6), (HEUN, 8, 0.8), (EULER, 8, 0.99)],
)
def test_tuned_times_beat_every_named_spacing_on_fresh_noise(process, solver, steps, share):
    fresh = draw(1000, seed=9)
    truth = end(fresh, timetable(process, 500, karras), HEUN)
    best = min(error(fresh, timetable(process, steps, spacing), solver, truth) for spacing in SPACINGS.values())
    tuned = tune(WORLD.denoise, process, solver, steps, draw(256, seed=1))
    assert error(fresh, tuned.levels, solver, truth) < share * best


@pytest.mark.parametrize("process", [Cosine(), Karras(), zero_terminal_snr(scaled_linear_betas())], ids=short)
@pytest.mark.parametrize("budget", [1, 700])
def test_what_is_tuned_is_a_timetable_and_never_worse_than_a_named_one(process, budget):
    noise = draw(64, seed=2)
    tuned = tune(WORLD.denoise, process, DPMPP_2M, 6, noise, budget)
    assert len(tuned.levels) == 7
    assert (tuned.levels.half_log_snr.diff() > 0).all()
    assert (tuned.levels.alpha[-1], tuned.levels.sigma[-1]) == (1, 0)
    assert torch.equal(at_times(process, tuned.times).sigma, tuned.levels.sigma)
    assert set(tuned.named) == set(SPACINGS)
    assert tuned.error <= min(tuned.named.values()) * (1 + 1e-6)
    truth = end(noise, timetable(process, 100, karras), HEUN)
    assert error(noise, tuned.levels, DPMPP_2M, truth) == pytest.approx(tuned.error, rel=1e-6)


def test_tuning_is_the_same_at_every_call_and_counts_what_it_spends():
    calls, told = [], []

    def counted(noisy, level):
        calls.append(1)
        return WORLD.denoise(noisy, level)

    first = tune(counted, Flow(), HEUN, 5, draw(32, seed=3), 800, lambda spent, error: told.append((spent, error)))
    again = tune(WORLD.denoise, Flow(), HEUN, 5, draw(32, seed=3), 800)
    assert torch.equal(first.times, again.times)
    assert first.error == again.error
    assert first.evaluations == len(calls) <= 800 + 2 * 5 * 2  # it stops after a whole trial
    assert [error for _, error in told] == sorted((error for _, error in told), reverse=True)
    assert told[-1] == (first.evaluations, first.error)


def test_a_solver_that_adds_noise_gets_the_times_of_euler():
    tuned, walk = (tune(WORLD.denoise, Flow(), solver, 5, draw(32, seed=3), 600) for solver in (DDPM, EULER))
    assert torch.equal(tuned.times, walk.times)


def test_one_step_leaves_nothing_to_tune():
    assert tune(WORLD.denoise, Flow(), EULER, 1, draw(8, seed=3)).times.tolist() == [1.0]
