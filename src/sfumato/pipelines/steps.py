"""At which levels a request is sampled: by a named spacing, at times of its own, or at times tuned to the model."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import torch

from sfumato.checkpoints.steps import FILE, read_steps
from sfumato.diffusion.levels import Level, Process
from sfumato.diffusion.times import SPACINGS, at_times, timetable
from sfumato.networks.unet_config import UNetConfig
from sfumato.pipelines.model import Model
from sfumato.pipelines.request import Request


def settled(model: Model, request: Request) -> Request:
    """The request with tuned times written into it, so that its picture depends on no file that may change.

    Raises CheckpointError when there are none for its solver and number of steps.
    """
    if request.times or request.spacing in (*SPACINGS, "own"):
        return request
    solver, steps, command = request.solver, request.num_inference_steps, ["sfumato", "tune-steps", model.source]
    path = model.beside(FILE) if request.spacing == "tuned" else Path(str(request.spacing))
    command += ["--steps", str(steps), "--solver", solver]
    command += [] if request.spacing == "tuned" else ["--out", str(path)]
    times = read_steps(path, solver, steps, model.fingerprint(), shlex.join(command))
    return replace(request, times=times)


def levels(model: Model, request: Request, size: tuple[int, int]) -> Level:
    """The timetable of a settled request whose latents have `size` (height, width)."""
    process = process_of(model, size)
    if request.times:
        return at_times(process, torch.tensor(request.times, dtype=torch.float64))
    name = model.diffusion.spacing if request.spacing == "own" else request.spacing
    return timetable(process, request.num_inference_steps, SPACINGS[str(name)])


def process_of(model: Model, size: tuple[int, int]) -> Process:
    """The process for latents of `size` (height, width)."""
    config = model.unet.config
    patch = 1 if isinstance(config, UNetConfig) else config.factor  # what a transformer sees as one token
    return model.diffusion.process_for(size[0] * size[1] // patch**2)
