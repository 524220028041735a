"""Solvers: each is one step from a level to the next. `SOLVERS` has them by the names people type."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sfumato.diffusion.levels import Level
from sfumato.diffusion.solvers.consistency import consistency
from sfumato.diffusion.solvers.dpmpp import dpmpp, dpmpp_sde
from sfumato.diffusion.solvers.multistep import deis, descent, gradient_estimation, lms, pndm
from sfumato.diffusion.solvers.restart import restarting, with_restarts
from sfumato.diffusion.solvers.singlestep import dpm2, dpmpp_2s, heun
from sfumato.diffusion.solvers.step import Solver, euler
from sfumato.diffusion.solvers.stochastic import ancestral, churned
from sfumato.diffusion.solvers.unipc import unipc


class Method(NamedTuple):
    """A solver and what it claims; tests hold it to the order."""

    step: Solver
    order: int | None  # of the global error in the step size; None for those that add noise
    evaluations: int = 1  # a step; the step to clean takes one
    noisy: Callable[[float], Solver] | None = None  # the same for any eta, where that has a meaning
    route: Callable[[Level], Level] = lambda levels: levels  # the timetable as this solver wants it

    def with_eta(self, eta: float | None) -> Method:
        """The method that puts back `eta` of the noise that DDPM would; as it is for None.

        Raises ValueError for a solver that has no such measure.
        """
        if eta is None:
            return self
        if self.noisy is None:
            raise ValueError("the solver has no eta")
        return self._replace(step=self.noisy(eta), order=self.order if eta == 0 else None)


def _single(step: Solver, order: int, evaluations: int = 1) -> Method:
    """A solver without memory, which `ancestral` may surround."""
    return Method(step, order, evaluations, partial(ancestral, step))


SOLVERS: dict[str, Method] = {
    "euler": _single(euler, 1),
    "ddim": _single(euler, 1),
    "heun": _single(heun, 2, 2),
    "dpm2": _single(dpm2, 2, 2),
    "dpmpp-1s": _single(euler, 1),
    "dpmpp-2s": _single(dpmpp_2s, 2, 2),
    "dpmpp-2m": Method(dpmpp(2), 2, noisy=partial(dpmpp, 2)),
    "dpmpp-3m": Method(dpmpp(3), 3, noisy=partial(dpmpp, 3)),
    "unipc-2": Method(unipc(2), 3),
    "unipc-3": Method(unipc(3), 4),
    "unipc-2-bh1": Method(unipc(2, "bh1"), 3),
    "unipc-3-bh1": Method(unipc(3, "bh1"), 4),
    "lms": Method(lms(4), 4),
    "deis": Method(deis(3), 3),
    "pndm": Method(pndm, 2),
    "gradient-estimation": Method(gradient_estimation, 1),
    "descent": Method(descent, 1),
    "ddpm": Method(ancestral(euler), None, 1, partial(ancestral, euler)),
    "euler-ancestral": Method(ancestral(euler), None, 1, partial(ancestral, euler)),
    "dpm2-ancestral": Method(ancestral(dpm2), None, 2, partial(ancestral, dpm2)),
    "dpmpp-2s-ancestral": Method(ancestral(dpmpp_2s), None, 2, partial(ancestral, dpmpp_2s)),
    "heun-churn": Method(churned(heun), None, 2),
    "dpmpp-sde": Method(dpmpp_sde(), None, 2, dpmpp_sde),
    "dpmpp-2m-sde": Method(dpmpp(2, 1.0), None, 1, partial(dpmpp, 2)),
    "dpmpp-3m-sde": Method(dpmpp(3, 1.0), None, 1, partial(dpmpp, 3)),
    "restart": Method(restarting(heun), None, 2, route=with_restarts),
    "lcm": Method(consistency, None),
}
"""Solvers by the names people type."""
