"""`scheduler_config.json`, the ecosystem's words for a process and a prediction, in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch

from sfumato.diffusion import parameterisation
from sfumato.diffusion.levels import Level, Process
from sfumato.diffusion.parameterisation import Parameterisation, Timestep, edm_noise, flow_time
from sfumato.diffusion.processes import (
    BetaTable,
    DynamicShift,
    Flow,
    Karras,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
    shifted,
    sigmoid_betas,
    zero_terminal_snr,
)
from sfumato.errors import CheckpointError

TABLES = {
    "linear": linear_betas,
    "scaled_linear": scaled_linear_betas,
    "squaredcos_cap_v2": cosine_betas,
    "sigmoid": sigmoid_betas,
}
PREDICTIONS = {"epsilon": parameterisation.noise, "v_prediction": parameterisation.v, "sample": parameterisation.data}

SPACED = ("trailing", "leading", "linspace")  # spacings that configurations name by `timestep_spacing`
FLAGS = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta-sigma",
    "use_lu_lambdas": "exponential",
}
"""Switches that put a spacing by sigma / alpha in the place of `timestep_spacing`."""

LEADING = ("DDIM", "DDPM", "PNDM", "CogVideoX")  # their silence means "leading", others' "linspace"
REFUSED: dict[str, tuple[Any, ...]] = {
    "thresholding": (False, None),
    "variance_type": ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", None),
    "steps_offset": (0, 1, None),
}
"""Switches that change results and are not followed, with the values that do no harm."""

OPEN = ("DPMSolver", "DEIS", "UniPC", "SASolver")  # their "linspace" leaves the least noisy level out


@dataclass(frozen=True)
class Diffusion:
    """How a denoiser was trained, along which process and what it predicts; and how it is sampled if no one says."""

    process: Process
    parameterisation: Parameterisation
    config: dict[str, Any]  # the scheduler_config.json that says so
    spacing: str = "trailing"  # a name in `sfumato.diffusion.times.SPACINGS`
    dynamic_shift: DynamicShift | None = None
    distilled: bool = False  # whether it says where the path ends, as networks of LCM do
    experts: tuple[float, ...] = ()  # the times at which one denoiser hands over to the next, if there are several

    @property
    def handovers(self) -> Level:
        """The levels of these times."""
        return self.process(torch.tensor(self.experts, dtype=torch.float64))

    def process_for(self, tokens: int) -> Process:
        """The process for a picture that the denoiser sees as `tokens` tokens; the same for all without a shift."""
        if self.dynamic_shift is None:
            return self.process
        return Flow(self.dynamic_shift(tokens))


def from_config(config: dict[str, Any]) -> Diffusion:
    """Read a scheduler configuration as diffusers writes it.

    Raises CheckpointError for a schedule, prediction or spacing that is not known, naming it.
    """
    try:
        distilled = str(config.get("_class_name", "")).startswith("LCM")
        return replace(_read(config), spacing=_spacing(config), distilled=distilled, experts=_experts(config))
    except (TypeError, ValueError, AttributeError, RuntimeError, OverflowError, ZeroDivisionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"The scheduler's configuration is not valid: {error}") from error


def _read(config: dict[str, Any]) -> Diffusion:
    name = config.get("_class_name", "")
    for key, harmless in REFUSED.items():
        if config.get(key, harmless[0]) not in harmless:
            raise CheckpointError(f"{key}={config[key]!r} in the scheduler's configuration is not known.")
    if name.startswith("FlowMatch") or config.get("use_flow_sigmas"):
        return _flow(config)
    prediction = config.get("prediction_type", "epsilon")
    if prediction == "original_sample":  # the word of the latent upscaler, whose pipeline does the rest
        edm = partial(parameterisation.edm, data_std=1.0)
        return Diffusion(_table(config), Parameterisation(edm, edm_noise), config)
    if prediction not in PREDICTIONS:
        raise CheckpointError(f"prediction_type {prediction!r} is not known; known: {', '.join(PREDICTIONS)}.")
    if name.startswith("EDM"):
        if prediction != "epsilon":
            raise CheckpointError(f"prediction_type {prediction!r} of {name} is not known; known: epsilon.")
        edm = partial(parameterisation.edm, data_std=float(config.get("sigma_data", 0.5)))
        return Diffusion(_karras(config), Parameterisation(edm, edm_noise), config)
    if config.get("timestep_type") == "continuous" and prediction == "v_prediction":
        return Diffusion(_karras(config), Parameterisation(PREDICTIONS[prediction], edm_noise), config)
    process = _table(config)
    if prediction == "epsilon" and process.betas[-1] == 1:
        raise CheckpointError("prediction_type epsilon says nothing of pure noise, in which these betas end.")
    return Diffusion(process, Parameterisation(PREDICTIONS[prediction], Timestep(process, len(process))), config)


def _experts(config: dict[str, Any]) -> tuple[float, ...]:
    times = tuple(map(float, config.get("experts", ())))
    if not all(early < late for early, late in pairwise((0.0, *times, 1.0))):
        raise CheckpointError(f"experts should be growing times between 0 and 1, not {times}.")
    return times


def _flow(config: dict[str, Any]) -> Diffusion:
    for key in ("invert_sigmas", "shift_terminal"):
        if config.get(key):
            raise CheckpointError(f"{key}={config[key]!r} in the scheduler's configuration is not known.")
    if config.get("num_train_timesteps", 1000) != 1000:
        raise CheckpointError(f"num_train_timesteps should be 1000 for flow, not {config['num_train_timesteps']!r}.")
    shift, dynamic = float(config.get("shift", config.get("flow_shift", 1.0))), None
    _sensible(shift, "shift")
    if config.get("use_dynamic_shifting"):
        kind = config.get("time_shift_type", "exponential")
        if kind not in ("exponential", "linear"):
            raise CheckpointError(f"time_shift_type {kind!r} is not known; known: exponential, linear.")
        dynamic = DynamicShift(
            float(config.get("base_shift", 0.5)),
            float(config.get("max_shift", 1.15)),
            int(config.get("base_image_seq_len", 256)),
            int(config.get("max_image_seq_len", 4096)),
            kind == "exponential",
        )
        shift = _sensible(dynamic(dynamic.base_tokens), "base_shift")
        _sensible(dynamic(dynamic.max_tokens), "max_shift")
    return Diffusion(Flow(shift), Parameterisation(parameterisation.flow, flow_time), config, dynamic_shift=dynamic)


def _sensible(shift: float, told_by: str) -> float:
    if not 0.001 < shift < 1000:
        raise CheckpointError(f"{told_by} should give a shift between 0.001 and 1000, not {shift}.")
    return shift


def _karras(config: dict[str, Any]) -> Karras:
    low, high = float(config.get("sigma_min") or 0.002), float(config.get("sigma_max") or 80.0)
    if not 1e-9 < low < high < 1e9:
        raise CheckpointError(f"sigma_min and sigma_max should grow, between 1e-9 and 1e9, not be {low} and {high}.")
    rho = float(config.get("rho", 7.0))
    if not 0.1 <= rho <= 1000:
        raise CheckpointError(f"rho should lie between 0.1 and 1000, not {rho}.")
    return Karras(low, high, rho)


def _table(config: dict[str, Any]) -> BetaTable:
    table = _trained_table(config)
    return zero_terminal_snr(table) if config.get("rescale_betas_zero_snr") else table


def _trained_table(config: dict[str, Any]) -> BetaTable:
    if config.get("trained_betas"):
        return BetaTable(tuple(config["trained_betas"]))
    schedule, steps = config.get("beta_schedule", "linear"), config.get("num_train_timesteps", 1000)
    if schedule not in TABLES:
        raise CheckpointError(f"beta_schedule {schedule!r} is not known; known: {', '.join(TABLES)}.")
    if not isinstance(steps, int) or not 1 <= steps <= 100_000:
        raise CheckpointError(f"num_train_timesteps should be a number from 1 to 100000, not {steps!r}.")
    if schedule == "squaredcos_cap_v2":
        return cosine_betas(steps)
    return TABLES[schedule](steps, config.get("beta_start", 1e-4), config.get("beta_end", 0.02))


def _spacing(config: dict[str, Any]) -> str:
    """The name of the spacing that is nearest to that of diffusers; flow and LCM, whose own are odd, are trailing."""
    name = config.get("_class_name", "")
    for flag, spacing in FLAGS.items():
        if config.get(flag):
            return spacing
    if name.startswith("EDM"):
        spacing = config.get("sigma_schedule", "karras")
        if spacing not in ("karras", "exponential"):
            raise CheckpointError(f"sigma_schedule {spacing!r} is not known; known: karras, exponential.")
        return "trailing" if spacing == "karras" else spacing  # which has the process's own rho
    flow = name.startswith("FlowMatch") or config.get("use_flow_sigmas")
    if flow or name.startswith(("LCM", "TCD")) or (not name and "timestep_spacing" not in config):
        return "trailing"
    if config.get("interpolation_type") == "log_linear":
        return "exponential"
    spacing = config.get("timestep_spacing", "leading" if name.startswith(LEADING) else "linspace")
    if spacing not in SPACED:
        raise CheckpointError(f"timestep_spacing {spacing!r} is not known; known: {', '.join(SPACED)}.")
    if spacing == "leading" and config.get("steps_offset", 0) == 1:
        return "leading+1"
    return "sgm-uniform" if spacing == "linspace" and name.startswith(OPEN) else spacing


def to_config(
    process: str,
    prediction: str,
    shift: float | DynamicShift = 1.0,
    spacing: str = "trailing",
    zero_terminal_snr: bool = False,
    experts: Sequence[float] = (),
    multistep: bool = False,
) -> dict[str, Any]:
    """The configuration of a denoiser that we train: `process` is "flow" or a beta schedule's name.

    `shift` moves the process toward noise, so many times more of it beside the data at every time. It names a diffusers
    scheduler that samples such a model; a `multistep` one for flow is known to pipelines with a U-Net too. `experts`,
    the times at which denoisers hand over, is a word of ours. Raises ValueError for a spacing that diffusers has no
    word for.
    """
    ours = {"experts": list(experts)} if experts else {}
    flag = {name: flag for flag, name in reversed(FLAGS.items())}.get(spacing)
    if (flag is None and spacing not in (*SPACED, "leading+1")) or (process == "flow" and spacing in SPACED[1:]):
        raise ValueError(f"a scheduler's configuration has no word for the spacing {spacing!r}")
    switch = {flag: True} if flag else {}
    if process == "flow" and multistep:
        if isinstance(shift, DynamicShift):
            raise ValueError("the shift of a multistep scheduler depends on no size")
        return {
            "_class_name": "DPMSolverMultistepScheduler",
            "num_train_timesteps": 1000,
            "prediction_type": "flow_prediction",
            "use_flow_sigmas": True,
            "flow_shift": shift,
            "timestep_spacing": "trailing",
            **switch,
            **ours,
        }
    if process == "flow":
        return {
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "num_train_timesteps": 1000,
            **(_shift_words(shift) if isinstance(shift, DynamicShift) else {"shift": shift}),
            **switch,
            **ours,
        }
    if isinstance(shift, DynamicShift):
        raise ValueError("only flow's shift may depend on the picture's size")
    ends = {"scaled_linear": (0.00085, 0.012)}.get(process, (1e-4, 0.02))
    config = {
        "_class_name": "EulerDiscreteScheduler"
        if flag
        else "DDPMScheduler"
        if process == "sigmoid"
        else "DDIMScheduler",
        "num_train_timesteps": 1000,
        "beta_schedule": process,
        "beta_start": ends[0],
        "beta_end": ends[1],
        "prediction_type": prediction,
        "timestep_spacing": "trailing" if flag else spacing.removesuffix("+1"),
        "clip_sample": False,
        "set_alpha_to_one": True,
        "steps_offset": int(spacing.endswith("+1")),
        **switch,
        **ours,
    }
    if zero_terminal_snr:
        config["rescale_betas_zero_snr"] = True
    if shift != 1:
        config["trained_betas"] = list(shifted(_trained_table(config), shift).betas)
    return config


def _shift_words(shift: DynamicShift) -> dict[str, Any]:
    return {
        "use_dynamic_shifting": True,
        "base_shift": shift.base_shift,
        "max_shift": shift.max_shift,
        "base_image_seq_len": shift.base_tokens,
        "max_image_seq_len": shift.max_tokens,
        "time_shift_type": "exponential" if shift.exponential else "linear",
    }
