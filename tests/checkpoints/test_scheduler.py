"""Scheduler configurations: what diffusers writes is read as diffusers means it, what is not known is refused."""

import json

import diffusers
import pytest
import torch

from sfumato.checkpoints.folder import load_diffusion
from sfumato.checkpoints.scheduler import TABLES, from_config, to_config
from sfumato.diffusion.levels import Level
from sfumato.diffusion.processes import DynamicShift, Flow, Karras, scaled_linear_betas, zero_terminal_snr
from sfumato.diffusion.times import SPACINGS, timetable
from sfumato.errors import CheckpointError
from sfumato.pipelines.finding import EMBEDDED

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DYNAMIC = {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True}


@pytest.mark.parametrize("spacing", ["trailing", "leading", "leading+1", "linspace", "karras", "exponential"])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("schedule", TABLES)
def test_tables_and_spacings_come_back(schedule, terminal, spacing):
    read = from_config(to_config(schedule, "v_prediction", spacing=spacing, zero_terminal_snr=terminal))
    assert read.spacing == spacing
    assert (read.process(torch.tensor(1.0)).alpha == 0) == terminal
    trained = from_config(to_config(schedule, "v_prediction")).process
    assert read.process == (zero_terminal_snr(trained) if terminal else trained)


@pytest.mark.parametrize("shift", [1.0, 3.0, DynamicShift(), DynamicShift(0.3, 2.0, 100, 900, exponential=False)])
@pytest.mark.parametrize("spacing", ["trailing", "karras"])
def test_flows_come_back(shift, spacing):
    read = from_config(to_config("flow", "velocity", shift, spacing))
    assert read.spacing == spacing
    if isinstance(shift, DynamicShift):
        assert read.dynamic_shift == shift
        assert read.process_for(400) == Flow(shift(400))
    else:
        assert read.process == read.process_for(400) == Flow(shift)


@pytest.mark.parametrize("spacing", ["trailing", "karras"])
def test_flows_of_multistep_schedulers_come_back(spacing):
    read = from_config(to_config("flow", "velocity", 3.0, spacing, multistep=True))
    assert (read.process, read.spacing) == (Flow(3.0), spacing)
    with pytest.raises(ValueError, match="multistep"):
        to_config("flow", "velocity", DynamicShift(), multistep=True)


def test_a_spacing_without_a_word_is_not_written():
    with pytest.raises(ValueError, match="ays-sd1"):
        to_config("linear", "epsilon", spacing="ays-sd1")
    with pytest.raises(ValueError, match="leading"):
        to_config("flow", "velocity", spacing="leading")


@pytest.mark.parametrize("schedule", ["scaled_linear", "sigmoid", "flow"])
@pytest.mark.parametrize("spacing", ["trailing", "karras"])
def test_diffusers_opens_what_is_written(schedule, spacing):
    if (schedule, spacing) == ("sigmoid", "karras"):
        return  # diffusers has sigmoid betas in DDPM alone, which has no Karras steps
    config = to_config(schedule, "v_prediction", spacing=spacing)
    scheduler = getattr(diffusers, config["_class_name"]).from_config(config)
    scheduler.set_timesteps(10)
    assert len(scheduler.timesteps) == 10


@pytest.mark.parametrize(
    ("scheduler", "settings", "spacing"),
    [
        ("PNDMScheduler", {"steps_offset": 1}, "leading+1"),  # Stable Diffusion 1.5
        ("DDIMScheduler", {}, "leading"),
        ("DDIMScheduler", {"timestep_spacing": "trailing"}, "trailing"),
        ("EulerDiscreteScheduler", {}, "linspace"),
        ("EulerDiscreteScheduler", {"timestep_spacing": "leading", "steps_offset": 1}, "leading+1"),  # XL
        ("EulerDiscreteScheduler", {"interpolation_type": "log_linear"}, "exponential"),
        ("DPMSolverMultistepScheduler", {}, "sgm-uniform"),
        ("UniPCMultistepScheduler", {}, "sgm-uniform"),
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, "karras"),
        ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}, "exponential"),
        ("HeunDiscreteScheduler", {"use_exponential_sigmas": True}, "exponential"),
        ("HeunDiscreteScheduler", {"use_beta_sigmas": True}, "beta-sigma"),
    ],
)
def test_a_foreign_model_is_sampled_as_its_own_scheduler_would(scheduler, settings, spacing):
    reference = getattr(diffusers, scheduler)(**SD, **settings)
    written = json.loads(reference.to_json_string())
    silent = {key: value for key, value in written.items() if key in ({*SD, *settings, "_class_name"})}
    for config in (written, silent):  # with every default spelled out, and as older versions left them out
        read = from_config(config)
        assert read.spacing == spacing
        assert read.process == scaled_linear_betas()
    # with log_linear sigmas diffusers tells the network the timesteps of linspace, which are those of other sigmas
    if scheduler in ("EulerDiscreteScheduler", "DDIMScheduler") and "interpolation_type" not in settings:
        reference.set_timesteps(20)
        levels = timetable(read.process, 20, SPACINGS[read.spacing])
        rows = read.process.time(levels[:-1]) * 1000 - 1
        assert (rows - reference.timesteps).abs().max() < 0.7


def test_a_model_with_zero_terminal_snr_starts_from_pure_noise():
    settings = {**SD, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    written = json.loads(diffusers.DDIMScheduler(**settings).to_json_string())
    read = from_config(written)
    with pytest.raises(CheckpointError, match="epsilon says nothing of pure noise"):
        from_config({**written, "prediction_type": "epsilon"})
    assert read.process(torch.tensor(1.0)).alpha == 0
    assert read.parameterisation.label(read.process(torch.tensor([1.0, 0.5]))).tolist() == pytest.approx([999, 499])


def test_edm_models_are_read_with_their_preconditioning():
    reference = diffusers.EDMEulerScheduler(sigma_min=0.01, sigma_max=40.0, sigma_data=1.0)
    read = from_config(json.loads(reference.to_json_string()))
    assert (read.process, read.spacing) == (Karras(0.01, 40.0), "trailing")
    sigma, noisy, output = torch.tensor(2.5), torch.randn(3, 4), torch.randn(3, 4)
    estimate = read.parameterisation.denoiser(lambda x, label: output)(noisy, Level(torch.tensor(1.0), sigma))
    assert torch.allclose(estimate, reference.precondition_outputs(noisy, output, sigma), atol=1e-6)
    label = read.parameterisation.label(Level(torch.tensor(1.0), sigma))
    assert label == pytest.approx(float(reference.precondition_noise(sigma)))


def test_video_models_in_continuous_time_are_read():
    """Stable Video Diffusion: v-prediction, labels log(sigma) / 4, Karras steps from 700."""
    settings = {"timestep_type": "continuous", "prediction_type": "v_prediction", "use_karras_sigmas": True}
    reference = diffusers.EulerDiscreteScheduler(**SD, **settings, sigma_min=0.002, sigma_max=700.0)
    reference.set_timesteps(12)
    read = from_config(json.loads(reference.to_json_string()))
    levels = timetable(read.process, 12, SPACINGS[read.spacing])
    assert torch.allclose(levels.sigma.float(), reference.sigmas, rtol=1e-4)
    assert torch.allclose(read.parameterisation.label(levels[:-1]).float(), reference.timesteps, atol=1e-4)


def test_flow_sigmas_of_a_multistep_solver_are_a_flow():
    reference = diffusers.DPMSolverMultistepScheduler(
        use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"
    )
    assert from_config(json.loads(reference.to_json_string())).process == Flow(3.0)


def test_the_embedded_upsampler_predicts_data():
    assert load_diffusion(EMBEDDED / "digits", "upsampler").config["prediction_type"] == "sample"
    assert load_diffusion(EMBEDDED / "digits").spacing == "trailing"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prediction_type": "magic"}, "magic"),
        ({"beta_schedule": "zigzag"}, "zigzag"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps"),
        ({"beta_schedule": "linear", "beta_start": "low"}, "not valid"),
        ({"trained_betas": [[]]}, "not valid"),
        ({"_class_name": 3}, "not valid"),
        ({"beta_schedule": "linear", "beta_end": 3.0}, "between 0 and 1"),
        ({"timestep_spacing": "backwards"}, "backwards"),
        ({"timestep_spacing": ["leading"]}, "timestep_spacing"),
        ({"_class_name": "EDMEulerScheduler"}, "v_prediction"),
        ({"_class_name": "EDMEulerScheduler", "prediction_type": "epsilon", "sigma_min": 90}, "sigma_min"),
        ({"_class_name": "EDMEulerScheduler", "prediction_type": "epsilon", "sigma_max": 1e300}, "sigma_max"),
        ({"_class_name": "EDMEulerScheduler", "prediction_type": "epsilon", "rho": 0}, "rho"),
        ({"_class_name": "EDMEulerScheduler", "prediction_type": "epsilon", "rho": 1e-9}, "rho"),
        ({"_class_name": "EDMEulerScheduler", "prediction_type": "epsilon", "sigma_schedule": "odd"}, "odd"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": -1}, "shift"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 1e-320}, "shift"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True}, "invert_sigmas"),
        ({**DYNAMIC, "time_shift_type": "cubic"}, "cubic"),
        ({**DYNAMIC, "base_shift": "much"}, "not valid"),
        ({**DYNAMIC, "max_image_seq_len": 256}, "not valid"),
        ({**DYNAMIC, "max_shift": 1e30}, "not valid"),
        ({**DYNAMIC, "max_shift": 40}, "max_shift"),
    ],
)
def test_an_unknown_scheduler_is_refused_by_value(tmp_path, change, said):
    config = json.loads((EMBEDDED / "digits" / "scheduler" / "scheduler_config.json").read_text())
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(config | change))
    with pytest.raises(CheckpointError, match=said):
        load_diffusion(tmp_path)
