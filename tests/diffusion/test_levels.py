"""Processes: their ends, their inverses, and the tables the literature prints."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfumato.diffusion import processes
from sfumato.diffusion.processes import Cosine, Flow, Karras
from sfumato.diffusion.times import timetable


def short(process):
    return type(process).__name__


PROCESSES = [
    processes.linear_betas(),
    processes.scaled_linear_betas(),
    processes.cosine_betas(),
    Cosine(),
    Karras(),
    Flow(),
    Flow(shift=3.0),
]


@pytest.mark.parametrize("process", PROCESSES, ids=short)
@given(t=st.floats(1e-3, 1))
def test_time_is_the_inverse_of_a_process(process, t):
    t = torch.tensor(t, dtype=torch.float64)
    assert torch.allclose(process.time(process(t)), t, atol=1e-6)


@pytest.mark.parametrize("process", PROCESSES, ids=short)
def test_noise_grows_along_a_process(process):
    path = process(torch.linspace(0, 1, 501))
    assert (path.log_snr.diff() < 0).all()


@pytest.mark.parametrize("process", [Cosine(), Flow(), Flow(2.0)], ids=short)
def test_pure_noise_and_clean_are_exact_levels(process):
    noise, clean = process(torch.tensor(1.0)), process(torch.tensor(0.0))
    assert (noise.alpha, noise.sigma) == (0, 1)
    assert (clean.alpha, clean.sigma) == (1, 0)


@pytest.mark.parametrize(
    ("process", "schedule"),
    [
        (processes.linear_betas(), "linear"),
        (processes.scaled_linear_betas(), "scaled_linear"),
        (processes.cosine_betas(), "squaredcos_cap_v2"),
    ],
)
def test_beta_tables_equal_those_of_diffusers(process, schedule):
    from diffusers import DDPMScheduler

    ends = {"scaled_linear": (0.00085, 0.012)}.get(schedule, (1e-4, 0.02))
    reference = DDPMScheduler(1000, beta_start=ends[0], beta_end=ends[1], beta_schedule=schedule).alphas_cumprod
    rows = process((torch.arange(1000) + 1) / 1000)
    assert torch.allclose(rows.alpha.square().float(), reference, rtol=2e-4, atol=1e-8)


def test_karras_timetable_is_equation_5():
    n, low, high, rho = 10, 0.002, 80.0, 7.0
    sigmas = timetable(Karras(low, high, rho), n).sigma
    by_hand = [(high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(n)]
    assert torch.allclose(sigmas[:-1], torch.tensor(by_hand, dtype=torch.float64))
    assert sigmas[-1] == 0


def test_trailing_timesteps_are_those_of_the_literature():
    process = processes.scaled_linear_betas()
    rows = process.time(timetable(process, 20)[:-1]) * 1000 - 1
    assert torch.allclose(rows, torch.arange(999, 0, -50).double(), atol=1e-6)


def test_a_level_per_sample_scales_each_sample_by_its_own():
    clean, noise = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    level = Cosine()(torch.tensor([0.1, 0.5, 1.0]))
    noisy = level.add_noise(clean, noise)
    for i in range(3):
        assert torch.equal(noisy[i : i + 1], level[i].add_noise(clean[i : i + 1], noise[i : i + 1]))
