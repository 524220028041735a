"""Good times for a given denoiser, solver and number of steps, found by trying.

The ends of a coarse sampling are compared with those of a fine one from the same noise, and the coarse one's times are
moved for as long as that brings the ends together. Sabour et al. 2024 and Chen et al. 2024 tune times to a model too,
by a bound on the error and by the errors of single steps; here it is the error itself, of any solver, that falls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import Level, Process
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import Method, euler, heun
from sfumato.diffusion.times import SPACINGS, at_times, karras, timetable

FINE = 100  # steps of the fine sampling
SMALLEST = 0.02  # a time that has nowhere better to go within this share of the way to its neighbours stands still

Told = Callable[[int, float], None]
"""(evaluations so far, the smallest error so far) -> None."""


@dataclass(frozen=True)
class Tuning:
    """Times that were found for a solver, and how good they are beside the named spacings."""

    levels: Level  # the timetable: fields (steps + 1,)
    times: Float[Tensor, " steps"]  # the same as times of the process, without the clean end
    error: float  # root mean square distance to the ends of the fine sampling, a mean over samples
    named: dict[str, float]  # this error of every named spacing
    evaluations: int  # calls of the denoiser, each of the whole batch


@torch.no_grad()
def tune(
    denoise: Denoise,
    process: Process,
    method: Method,
    steps: int,
    noise: Float[Tensor, "b ..."],
    budget: int = 2000,
    tell: Told | None = None,
) -> Tuning:
    """Find the times at which a solver comes closest, in `steps` steps, to where a fine sampling takes `noise`.

    `noise` (B, ...) is standard normal; each sample starts as its noise at t = 1. The best named spacing is where the
    search starts: a pattern search (Hooke & Jeeves 1961) that moves one time after the other between its neighbours,
    and runs again only the steps that this changes. The result is never worse than a named spacing on this noise, and
    the same at every call.

    The fine sampling costs 2 * `FINE` calls of the denoiser, every named spacing one run of the solver; the search
    stops at the latest when all together have reached `budget`. A solver that adds noise has no one end to compare: it
    gets the times that are best for `euler`, the same walk without that noise.
    """
    spent = 0

    def counted(noisy: Tensor, level: Level) -> Tensor:
        nonlocal spent
        spent += 1
        return denoise(noisy, level)

    def start(levels: Level) -> Tensor:
        return noise * levels.sigma[0].to(noise)

    solver = method.step if method.order else euler
    fine = timetable(process, FINE, karras)
    end = last(sample(counted, start(fine), fine, torch.zeros_like, heun))

    def run(levels: Level, states: list[tuple[Tensor, Any]]) -> tuple[float, list[tuple[Tensor, Any]]]:
        """Go on from where the last of `states` stands; the error at the end, and all states."""
        states = list(states)
        for step in range(len(states) - 1, steps):
            noisy, memory = states[-1]
            states.append(solver(counted, noisy, levels[step], levels[step + 1], memory, torch.zeros_like))
        return (states[-1][0] - end).flatten(1).square().mean(1).sqrt().mean().item(), states

    tables = {name: timetable(process, steps, spacing) for name, spacing in SPACINGS.items()}
    named = {name: run(levels, [(start(levels), None)])[0] for name, levels in tables.items()}
    finite = [name for name in named if named[name] == named[name]]
    if not finite:
        raise ValueError("the denoiser gives no numbers at any of the named spacings, so that none can be tuned")
    first = min(finite, key=lambda name: named[name])
    times = process.time(tables[first][:-1])
    error, states = run(at_times(process, times), [(start(tables[first]), None)])

    reach, side = torch.full((steps,), 0.25), [1] * steps
    while spent < budget and reach[1:].numel() and reach[1:].max() > SMALLEST:
        for i in range(1, steps):
            for way in (side[i], -side[i]):
                neighbour = times[i - 1] if way > 0 else times[i + 1] if i + 1 < steps else torch.zeros_like(times[i])
                trial = times.clone()
                trial[i] = torch.lerp(times[i], neighbour, reach[i].item())
                found, trail = run(at_times(process, trial), states[:i])
                if found < error:
                    error, states, times, side[i] = found, trail, trial, way
                    reach[i] = min(0.5, reach[i].item() * 1.5)
                    break
            else:
                reach[i] /= 2
            if tell:
                tell(spent, error)
            if spent >= budget:
                break
    return Tuning(at_times(process, times), times, error, named, spent)
