"""A1111's names of samplers and schedulers, and what they are called here."""

from __future__ import annotations

from sfumato.diffusion.solvers import SOLVERS
from sfumato.diffusion.times import SPACINGS
from sfumato.server.errors import Refusal

SAMPLERS = {
    "DPM++ 2M": "dpmpp-2m",
    "DPM++ SDE": "dpmpp-sde",
    "DPM++ 2M SDE": "dpmpp-2m-sde",
    "DPM++ 2S a": "dpmpp-2s-ancestral",
    "DPM++ 3M SDE": "dpmpp-3m-sde",
    "Euler a": "euler-ancestral",
    "Euler": "euler",
    "LMS": "lms",
    "Heun": "heun",
    "DPM2": "dpm2",
    "DPM2 a": "dpm2-ancestral",
    "Restart": "restart",
    "DDIM": "ddim",
    "PLMS": "pndm",
    "UniPC": "unipc-3",
    "LCM": "lcm",
}
"""Solvers by A1111's names; those by ours are known too."""

SCHEDULERS = {
    "Uniform": "linspace",
    "Karras": "karras",
    "Exponential": "exponential",
    "SGM Uniform": "sgm-uniform",
    "Align Your Steps": "ays-sd1",
    "Simple": "trailing",
    "Normal": "linspace",
    "DDIM": "leading+1",
    "Beta": "beta",
}
"""Spacings by A1111's labels."""

AUTOMATIC = "Automatic"  # leaves it to the model
FREE = ("euler-ancestral", "ddim", "dpm2-ancestral", "dpmpp-2s-ancestral")
"""Solvers whose eta A1111's clients set; the others leave it, as there."""


def solver_and_spacing(sampler: str | None, scheduler: str | None) -> tuple[str | None, str | None]:
    """What a sampler and a scheduler are called here; None is the model's own.

    Old names say both: "DPM++ 2M Karras". Raises Refusal for names that are not known.
    """
    solver = spacing = None
    if sampler and sampler != AUTOMATIC:
        solver = _found(sampler, SAMPLERS, SOLVERS)
        if solver is None:
            name, _, label = sampler.rpartition(" ")
            solver, spacing = _found(name, SAMPLERS, SOLVERS), _found(label, SCHEDULERS, ())
            if solver is None or spacing is None:
                raise Refusal(404, "Sampler not found", "sampler_name", "sampler_not_found")
    if scheduler and scheduler.lower() != AUTOMATIC.lower():
        spacing = _found(scheduler, SCHEDULERS, SPACINGS)
        if spacing is None:
            raise Refusal(404, "Scheduler not found", "scheduler", "scheduler_not_found")
    return solver, spacing


def scheduler_name(label: str) -> str:
    """A1111's name of a scheduler, which is its label in small letters."""
    return label.lower().replace(" ", "_")


def sampler_of(solver: str) -> str:
    """A1111's name of a solver, or ours where it has none."""
    return next((name for name, ours in SAMPLERS.items() if ours == solver), solver)


def _found(name: str, theirs: dict[str, str], ours: object) -> str | None:
    known = {label.lower(): value for label, value in theirs.items()}
    known |= {scheduler_name(label): value for label, value in theirs.items()}
    if name.lower() in known:
        return known[name.lower()]
    return name if isinstance(ours, dict) and name in ours else None
