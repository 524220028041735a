"""Processes: their ends, their inverses, and the tables the literature prints."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfumato.diffusion import processes
from sfumato.diffusion.levels import PURE_NOISE
from sfumato.diffusion.processes import Cosine, Flow, Karras
from sfumato.diffusion.times import timetable


def short(process):
    return type(process).__name__


PROCESSES = [
    processes.linear_betas(),
    processes.scaled_linear_betas(),
    processes.cosine_betas(),
    processes.sigmoid_betas(),
    processes.zero_terminal_snr(processes.scaled_linear_betas()),
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
    assert (path.half_log_snr.diff() < 0).all()


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
        (processes.sigmoid_betas(), "sigmoid"),
    ],
)
def test_beta_tables_equal_those_of_diffusers(process, schedule):
    from diffusers import DDPMScheduler

    ends = {"scaled_linear": (0.00085, 0.012)}.get(schedule, (1e-4, 0.02))
    reference = DDPMScheduler(1000, beta_start=ends[0], beta_end=ends[1], beta_schedule=schedule).alphas_cumprod
    rows = process((torch.arange(1000) + 1) / 1000)
    assert torch.allclose(rows.alpha.square().float(), reference, rtol=2e-4, atol=1e-8)


ZERO_SNR = processes.zero_terminal_snr(processes.scaled_linear_betas())


def test_zero_terminal_snr_is_that_of_diffusers_to_the_last_row():
    from diffusers import DDIMScheduler

    ends = {"beta_start": 0.00085, "beta_end": 0.012}
    reference = DDIMScheduler(**ends, beta_schedule="scaled_linear", rescale_betas_zero_snr=True).alphas_cumprod
    rows = ZERO_SNR((torch.arange(1000) + 1) / 1000)
    assert torch.allclose(rows.alpha.float(), reference.sqrt(), rtol=1e-3, atol=2e-6)
    assert reference[-1] == 0
    first = processes.scaled_linear_betas()(torch.tensor(0.001))
    assert rows.alpha[0] == pytest.approx(first.alpha.item(), rel=1e-9)  # algorithm 1 keeps the first row


def test_a_table_that_ends_in_pure_noise_is_right_at_and_near_its_end():
    noise = ZERO_SNR(torch.tensor(1.0))
    assert (noise.alpha, noise.sigma) == (0, 1)
    assert ZERO_SNR.time(PURE_NOISE) == 1
    times = torch.cat([torch.linspace(0.998, 1, 301), 1 - torch.logspace(-14, -4, 50)]).double().sort().values
    levels = ZERO_SNR(times)
    assert torch.isfinite(levels.alpha).all()
    assert (levels.alpha.diff() <= 0).all()
    assert torch.allclose(levels.alpha.square() + levels.sigma.square(), torch.ones(1, dtype=torch.float64))
    assert torch.allclose(ZERO_SNR.time(levels), times, atol=1e-12)
    inside = levels.alpha[times >= 0.999]
    assert torch.allclose(inside, ZERO_SNR(torch.tensor(0.999)).alpha * (1 - times[times >= 0.999]) * 1000, rtol=1e-4)


@pytest.mark.parametrize("betas", [(), (0.1, 1.0, 0.2), (0.1, -0.1), (0.1, 1.1), (float("nan"), 0.1)])
def test_a_table_of_impossible_betas_is_refused(betas):
    with pytest.raises(ValueError, match="between 0 and 1"):
        processes.BetaTable(betas)


def test_the_shift_for_a_size_is_equation_23():
    assert processes.shift_for_size(1024 * 1024, 1024 * 1024) == 1
    assert processes.shift_for_size(1024 * 1024, 512 * 512) == pytest.approx(2)
    small, shift = Flow()(torch.tensor(0.4)), processes.shift_for_size(4, 1)
    large = Flow(shift)(torch.tensor(0.4))
    # section 5.3.2: n pixels of one value tell it as badly at the shifted level as fewer pixels do at the other
    assert large.sigma / large.alpha / math.sqrt(4) == pytest.approx((small.sigma / small.alpha).item())


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("tokens", [256, 1024, 4096])
def test_the_dynamic_shift_is_that_of_diffusers(kind, tokens):
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    reference = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
    reference.set_timesteps(sigmas=np.linspace(1, 1 / 8, 8), mu=calculate_shift(tokens))
    process = Flow(processes.DynamicShift(exponential=kind == "exponential")(tokens))
    assert torch.allclose(timetable(process, 8).sigma.float(), reference.sigmas, atol=1e-6)


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
