"""Solvers: each is one step from a level to the next. `SOLVERS` has them by the names people type."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sfumato.diffusion.levels import Level
from sfumato.diffusion.solvers.dpmpp import dpmpp, dpmpp_sde
from sfumato.diffusion.solvers.multistep import deis, descent, gradient_estimation, lms, pndm
from sfumato.diffusion.solvers.singlestep import dpm2, dpmpp_2s, heun
from sfumato.diffusion.solvers.step import Solver, euler
from sfumato.diffusion.solvers.stochastic import (
    ancestral,
    churned,
    consistency,
    restarting,
    with_restarts,
)
from sfumato.diffusion.solvers.unipc import unipc


class Method(NamedTuple):
    """A solver and what it claims; tests hold it to the order."""

    step: Solver
    order: int | None  # of the global error in the step size; None for those that add noise
    evaluations: int = 1  # a step; the step to clean takes one
    route: Callable[[Level], Level] = lambda levels: levels  # the timetable as this solver wants it


SOLVERS: dict[str, Method] = {
    "euler": Method(euler, 1),
    "ddim": Method(euler, 1),
    "heun": Method(heun, 2, 2),
    "dpm2": Method(dpm2, 2, 2),
    "dpmpp-1s": Method(euler, 1),
    "dpmpp-2s": Method(dpmpp_2s, 2, 2),
    "dpmpp-2m": Method(dpmpp(2), 2),
    "dpmpp-3m": Method(dpmpp(3), 3),
    "unipc-2": Method(unipc(2), 3),
    "unipc-3": Method(unipc(3), 4),
    "unipc-2-bh1": Method(unipc(2, "bh1"), 3),
    "unipc-3-bh1": Method(unipc(3, "bh1"), 4),
    "lms": Method(lms(4), 4),
    "deis": Method(deis(3), 3),
    "pndm": Method(pndm, 2),
    "gradient-estimation": Method(gradient_estimation, 1),
    "descent": Method(descent, 1),
    "ddpm": Method(ancestral(euler), None),
    "euler-ancestral": Method(ancestral(euler), None),
    "dpm2-ancestral": Method(ancestral(dpm2), None, 2),
    "dpmpp-2s-ancestral": Method(ancestral(dpmpp_2s), None, 2),
    "heun-churn": Method(churned(heun), None, 2),
    "dpmpp-sde": Method(dpmpp_sde, None, 2),
    "dpmpp-2m-sde": Method(dpmpp(2, eta=1), None),
    "dpmpp-3m-sde": Method(dpmpp(3, eta=1), None),
    "restart": Method(restarting(heun), None, 2, with_restarts),
    "lcm": Method(consistency, None),
}
"""Solvers by the names people type."""
