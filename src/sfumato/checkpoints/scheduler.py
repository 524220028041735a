"""`scheduler_config.json`, the ecosystem's words for a process and a prediction, in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch

from sfumato.diffusion import parameterisation
from sfumato.diffusion.levels import Level, Process
from sfumato.diffusion.parameterisation import Parameterisation, Timestep, flow_time
from sfumato.diffusion.processes import BetaTable, Flow, cosine_betas, linear_betas, scaled_linear_betas, shifted
from sfumato.errors import CheckpointError

TABLES = {"linear": linear_betas, "scaled_linear": scaled_linear_betas, "squaredcos_cap_v2": cosine_betas}
PREDICTIONS = {"epsilon": parameterisation.noise, "v_prediction": parameterisation.v, "sample": parameterisation.data}


@dataclass(frozen=True)
class Diffusion:
    """How a denoiser was trained: along which process, and what it predicts."""

    process: Process
    parameterisation: Parameterisation
    config: dict[str, Any]  # the scheduler_config.json that says so
    experts: tuple[float, ...] = ()  # the times at which one denoiser hands over to the next, if there are several

    @property
    def handovers(self) -> Level:
        """The levels of these times."""
        return self.process(torch.tensor(self.experts, dtype=torch.float64))


def from_config(config: dict[str, Any]) -> Diffusion:
    """Read a scheduler configuration as diffusers writes it.

    Raises CheckpointError for a schedule or prediction that is not known, naming it.
    """
    try:
        return replace(_read(config), experts=_experts(config))
    except (TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"The scheduler's configuration is not valid: {error}") from error


def _read(config: dict[str, Any]) -> Diffusion:
    for key in ("rescale_betas_zero_snr", "use_dynamic_shifting"):
        if config.get(key):
            raise CheckpointError(f"{key}={config[key]!r} in the scheduler's configuration is not supported yet.")
    if config.get("_class_name", "").startswith("FlowMatch"):
        shift = float(config.get("shift", 1.0))
        if not 0 < shift < 1000:
            raise CheckpointError(f"shift should be a number above 0, not {shift}.")
        return Diffusion(Flow(shift), Parameterisation(parameterisation.flow, flow_time), config)
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise CheckpointError(f"prediction_type {prediction!r} is not known; known: {', '.join(PREDICTIONS)}.")
    process = _table(config)
    if not all(0 <= beta < 1 for beta in process.betas):
        raise CheckpointError("betas should lie between 0 and 1.")
    return Diffusion(process, Parameterisation(PREDICTIONS[prediction], Timestep(process, len(process))), config)


def _experts(config: dict[str, Any]) -> tuple[float, ...]:
    times = tuple(map(float, config.get("experts", ())))
    if not all(early < late for early, late in pairwise((0.0, *times, 1.0))):
        raise CheckpointError(f"experts should be growing times between 0 and 1, not {times}.")
    return times


def _table(config: dict[str, Any]) -> BetaTable:
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


def to_config(process: str, prediction: str, shift: float = 1.0, experts: Sequence[float] = ()) -> dict[str, Any]:
    """The configuration of a denoiser that we train: `process` is "flow" or a beta schedule's name.

    `shift` moves the process toward noise, so many times more of it beside the data at every time. It names a diffusers
    scheduler that samples such a model; `experts`, the times at which denoisers hand over, is a word of ours.
    """
    ours = {"experts": list(experts)} if experts else {}
    if process == "flow":
        return {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": shift} | ours
    ends = {"scaled_linear": (0.00085, 0.012)}.get(process, (1e-4, 0.02))
    config = {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": 1000,
        "beta_schedule": process,
        "beta_start": ends[0],
        "beta_end": ends[1],
        "prediction_type": prediction,
        "timestep_spacing": "trailing",
        "clip_sample": False,
        "set_alpha_to_one": True,
        "steps_offset": 0,
    }
    if shift == 1:
        return config | ours
    return config | ours | {"trained_betas": list(shifted(_table(config), shift).betas)}
