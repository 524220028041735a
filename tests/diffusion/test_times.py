"""Spacings: what holds for all of them, and the numbers of the libraries they are known from."""

import math

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import AysSchedules
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.diffusion.processes import (
    Cosine,
    Flow,
    Karras,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
    sigmoid_betas,
    zero_terminal_snr,
)
from sfumato.diffusion.times import HIGHEST, SPACINGS, exponential, karras, timetable

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
PROCESSES = {
    "linear": linear_betas(),
    "scaled linear": scaled_linear_betas(),
    "squared cosine": cosine_betas(),
    "sigmoid": sigmoid_betas(),
    "zero terminal": zero_terminal_snr(scaled_linear_betas()),
    "short": linear_betas(20, 0.001, 0.4),
    "cosine": Cosine(),
    "karras": Karras(),
    "video": Karras(0.002, 700),
    "flow": Flow(),
    "shifted flow": Flow(3.0),
}


def ratios(levels):
    return levels.sigma / levels.alpha


def rows(process, levels):
    return process.time(levels[:-1]) * len(process) - 1


each_steps = pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 20, 28, 30, 50])


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("process", PROCESSES)
@settings(max_examples=12)
@given(steps=st.integers(1, 60))
def test_every_spacing_falls_strictly_on_the_process_and_ends_clean(process, spacing, steps):
    path = PROCESSES[process]
    levels = timetable(path, steps, SPACINGS[spacing])
    assert levels.alpha.shape == levels.sigma.shape == (steps + 1,)
    assert levels.alpha.dtype == levels.sigma.dtype == torch.float64
    assert torch.isfinite(levels.alpha).all()
    assert torch.isfinite(levels.sigma).all()
    assert (levels.half_log_snr.diff() > 0).all()
    assert (levels.alpha[-1], levels.sigma[-1]) == (1, 0)
    there = path(path.time(levels[:-1]))
    assert torch.allclose(there.sigma, levels.sigma[:-1], rtol=1e-9)
    assert torch.allclose(there.alpha, levels.alpha[:-1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS)
def test_a_single_step_goes_from_the_noisiest_level_to_clean(process, spacing):
    begin, noisiest = timetable(process, 1, spacing)[0], process(torch.tensor(1.0))
    assert (begin.alpha, begin.sigma) == (noisiest.alpha, noisiest.sigma)


@pytest.mark.parametrize("name", [name for name in SPACINGS if not name.startswith("leading")])
@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_all_but_leading_begin_at_the_noisiest_level(process, name):
    begin, noisiest = timetable(process, 2, SPACINGS[name])[0], process(torch.tensor(1.0))
    assert (begin.alpha, begin.sigma) == (noisiest.alpha, noisiest.sigma)


@pytest.mark.parametrize(
    "process", [Cosine(), Flow(), zero_terminal_snr(linear_betas())], ids=lambda p: type(p).__name__
)
def test_from_pure_noise_ratios_are_laid_out_from_a_finite_one(process):
    pure, finite = timetable(process, 9, karras), timetable(Karras(1e-3, HIGHEST), 9, karras)
    assert pure.alpha[0] == 0
    assert ratios(pure)[1] == pytest.approx(ratios(finite)[1].item(), rel=0.1)


def test_no_step_is_refused():
    with pytest.raises(ValueError, match="at least one step"):
        timetable(Flow(), 0)


# --- diffusers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 3, 7, 10, 20, 28, 30, 50, 1000])
@pytest.mark.parametrize("name", ["leading", "leading+1", "linspace"])
def test_whole_rows_are_those_of_ddim_in_diffusers(name, steps):
    """But for one step, which diffusers begins at row 0, where there is no noise to take out."""
    if (name, steps) == ("leading+1", 1000):
        return  # diffusers asks for row 1000 of rows 0 to 999
    reference = DDIMScheduler(**SD, timestep_spacing=name.removesuffix("+1"), steps_offset=int(name.endswith("+1")))
    reference.set_timesteps(steps)
    process = scaled_linear_betas()
    levels = timetable(process, steps, SPACINGS[name])
    assert torch.allclose(rows(process, levels), reference.timesteps.double(), atol=1e-6)
    alphas = reference.alphas_cumprod[reference.timesteps].sqrt()
    assert torch.allclose(levels.alpha[:-1].float(), alphas, rtol=1e-4)


@each_steps
def test_trailing_rows_are_those_of_diffusers_before_it_rounds_them(steps):
    """A path has levels between its rows, and a network interpolates; so ours keeps the steps equally long.

    For 30 steps diffusers' go 33, 34, 33, ... rows.
    """
    reference = DDIMScheduler(**SD, timestep_spacing="trailing")
    reference.set_timesteps(steps)
    process = scaled_linear_betas()
    ours = rows(process, timetable(process, steps))
    assert (ours - reference.timesteps).abs().max() <= 0.5 + 1e-6
    if 1000 % steps == 0:
        assert torch.allclose(ours, reference.timesteps.double(), atol=1e-6)


@each_steps
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear"])
@pytest.mark.parametrize(
    ("flag", "name"),
    [("use_karras_sigmas", "karras"), ("use_exponential_sigmas", "exponential"), ("use_beta_sigmas", "beta-sigma")],
)
def test_sigmas_are_those_of_euler_in_diffusers(flag, name, schedule, steps):
    ends = {"beta_start": 0.00085, "beta_end": 0.012} if schedule == "scaled_linear" else {}
    reference = EulerDiscreteScheduler(**ends, beta_schedule=schedule, **{flag: True})
    reference.set_timesteps(max(steps, 2))  # with one step diffusers takes the least noise for the most
    process = {"linear": linear_betas, "scaled_linear": scaled_linear_betas}[schedule]()
    sigmas = ratios(timetable(process, max(steps, 2), SPACINGS[name]))
    assert torch.allclose(sigmas.float(), reference.sigmas, rtol=2e-4)


@each_steps
def test_karras_sigmas_are_those_of_dpm_solver_in_diffusers(steps):
    reference = DPMSolverMultistepScheduler(**SD, use_karras_sigmas=True)
    reference.set_timesteps(steps)
    assert torch.allclose(ratios(timetable(scaled_linear_betas(), steps, karras)).float(), reference.sigmas, rtol=2e-4)


def test_a_squared_cosine_path_by_ratio_begins_where_something_can_be_seen():
    """Its sigma / alpha begins at 20,000: diffusers' Karras spacing takes 6 of 10 steps above 180, ours one."""
    reference = EulerDiscreteScheduler(beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True)
    reference.set_timesteps(10)
    assert (reference.sigmas > 180).sum() == 6
    ours = ratios(timetable(cosine_betas(), 10, karras))
    assert (ours > 180).sum() == 1
    assert ours[0] == pytest.approx(reference.sigmas[0].item(), rel=1e-2)


@each_steps
@pytest.mark.parametrize("solver", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_the_linspace_of_multistep_solvers_in_diffusers_is_sgm_uniform_rounded(solver, steps):
    reference = solver(**SD, timestep_spacing="linspace")
    reference.set_timesteps(steps)
    process = scaled_linear_betas()
    ours = rows(process, timetable(process, steps, SPACINGS["sgm-uniform"]))
    assert (ours - reference.timesteps).abs().max() <= 0.5 + 1e-6


@each_steps
def test_beta_quantiles_are_scipys_laid_over_the_rows(steps):
    """ComfyUI's "beta" and the paper's own reading: quantiles of time. diffusers takes them of sigma ("beta-sigma")."""
    from scipy.stats import beta

    process = scaled_linear_betas()
    by_scipy = beta.ppf(1 - np.arange(steps) / steps, 0.6, 0.6) * 999
    ours = rows(process, timetable(process, steps, SPACINGS["beta"]))
    assert torch.allclose(ours, torch.tensor(by_scipy), atol=1e-6)


@pytest.mark.parametrize("name", ["StableDiffusion", "StableDiffusionXL", "StableDiffusionVideo"])
def test_aligned_steps_are_those_of_diffusers(name):
    process, spacing = {
        "StableDiffusion": (scaled_linear_betas(), "ays-sd1"),
        "StableDiffusionXL": (scaled_linear_betas(), "ays-sdxl"),
        "StableDiffusionVideo": (Karras(0.002, 700.0), "ays-svd"),
    }[name]
    levels = timetable(process, 10, SPACINGS[spacing])
    published = torch.tensor(AysSchedules[f"{name}Sigmas"])
    assert torch.allclose(ratios(levels).float(), published, rtol=2e-3, atol=2e-3)  # of three digits
    if f"{name}Timesteps" in AysSchedules:
        timesteps = torch.tensor(AysSchedules[f"{name}Timesteps"])
        assert (rows(process, levels) - timesteps).abs().max() < 1


def test_aligned_steps_are_interpolated_in_log_sigma():
    levels = timetable(scaled_linear_betas(), 20, SPACINGS["ays-sd1"])
    ten = timetable(scaled_linear_betas(), 10, SPACINGS["ays-sd1"])
    assert torch.allclose(ratios(levels)[:-1:2], ratios(ten)[:-1], rtol=1e-4)
    assert torch.allclose(
        ratios(levels)[1:-2:2].log(), (ratios(ten).log()[:-2] + ratios(ten).log()[1:-1]) / 2, atol=1e-3
    )


@each_steps
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_sigmas_are_those_that_pipelines_of_diffusers_ask_for(shift, steps):
    """FLUX and SD3.5's pipelines give sigmas from 1 to 1 / steps; the scheduler shifts them."""
    reference = FlowMatchEulerDiscreteScheduler(shift=shift)
    reference.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))
    assert torch.allclose(timetable(Flow(shift), steps).sigma.float(), reference.sigmas, atol=1e-6)


@each_steps
def test_the_flow_scheduler_of_diffusers_left_alone_is_linspace_with_its_end_shifted_twice(steps):
    """Its sigma_min is shifted already when `set_timesteps` shifts it again; with shift 1 nothing is doubled."""
    for shift in (1.0, 3.0):
        reference = FlowMatchEulerDiscreteScheduler(shift=shift)
        reference.set_timesteps(steps)
        path = Flow(shift)
        end = path(torch.tensor(1e-3)).sigma.item()  # shifted once, and then taken for a time
        as_diffusers = path(torch.linspace(1, end, steps, dtype=torch.float64)).sigma
        assert torch.allclose(as_diffusers.float(), reference.sigmas[:-1], atol=1e-6)
        if shift == 1:
            ours = timetable(path, steps, SPACINGS["linspace"]).sigma
            assert torch.allclose(ours.float(), reference.sigmas, atol=1e-6)


def test_on_the_straight_line_ratios_are_spaced_and_not_sigma():
    """diffusers lays Karras' formula over the sigma of flow; but it is about sigma where alpha = 1, that is the ratio.

    So ours stops at the same amounts of noise on every process, which the formula was made for.
    """
    reference = FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    reference.set_timesteps(9)
    as_if_exploding = timetable(Karras(1e-3, 1.0), 9).sigma
    assert torch.allclose(reference.sigmas, as_if_exploding.float(), atol=1e-6)
    ours, exploding = timetable(Flow(), 9, karras), timetable(Karras(1e-3, HIGHEST), 9)
    assert torch.allclose(ratios(ours)[1:], ratios(exploding)[1:], rtol=1e-2)


# --- k-diffusion ------------------------------------------------------------------------------------------------------


@each_steps
@pytest.mark.parametrize("ends", [(0.002, 80.0), (0.03, 14.6)])
def test_ratios_are_those_of_k_diffusion(k_diffusion, ends, steps):
    process, theirs = Karras(*ends), k_diffusion.sampling
    for ours, reference in [
        (timetable(process, steps), theirs.get_sigmas_karras(steps, *ends)),
        (timetable(process, steps, exponential), theirs.get_sigmas_exponential(steps, *ends)),
        (exponential(process, steps, rho=2.0), theirs.get_sigmas_polyexponential(steps, *ends, rho=2.0)),
        (karras(process, steps, rho=3.0), theirs.get_sigmas_karras(steps, *ends, rho=3.0)),
    ]:
        assert torch.allclose(ratios(ours).float(), reference, rtol=1e-4)


def test_linspace_of_linear_betas_is_the_vp_schedule_of_k_diffusion(k_diffusion):
    """Linear betas of 1e-4 to 0.02 in 1,000 rows are the VP SDE's beta from 0.1 to 20 in continuous time."""
    reference = k_diffusion.sampling.get_sigmas_vp(20, beta_d=19.9, beta_min=0.1)
    ours = ratios(timetable(linear_betas(), 20, SPACINGS["linspace"]))
    assert torch.allclose(ours.float(), reference, rtol=0.06)
    assert math.isclose(ours[0], reference[0], rel_tol=0.06)
