"""Sampling is an iterator of states; previews, cancelling and streaming are its consumers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import Noise
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.solvers import Solver, euler


@dataclass(frozen=True)
class State:
    """Where sampling stands after a step."""

    step: int  # steps done, from 1
    steps: int  # steps in all
    level: Level  # the level that `noisy` has now; clean after the last step
    noisy: Tensor  # (B, ...)
    clean: Tensor  # (B, ...) the estimate of the clean data that began this step, or the last one before it


def sample(
    denoise: Denoise, start: Tensor, levels: Level, noise: Noise, solver: Solver = euler, first: int = 0
) -> Iterator[State]:
    """Take the noise out of `start`, a state per step.

    `start` (B, ...) is noisy data at levels[first] (pure noise times sigma at 0); `levels` is a timetable, its fields
    (steps + 1,) or (steps + 1, B) for levels that differ per sample. `noise` feeds the solvers that add noise back.
    """
    noisy, clean, memory, steps = start, start, None, len(levels) - 1
    for step in range(first, steps):
        here, there = levels[step], levels[step + 1]
        estimates: list[Tensor] = []

        def watched(noisy: Tensor, level: Level, seen: list[Tensor] = estimates) -> Tensor:
            seen.append(denoise(noisy, level))
            return seen[-1]

        noisy, memory = solver(watched, noisy, here, there, memory, noise)
        clean = estimates[0] if estimates else clean  # a step that only adds noise asks for none
        yield State(step + 1, steps, there, noisy, clean)


def last(states: Iterator[State]) -> Tensor:
    """Run a sampling to its end; the clean data (B, ...)."""
    for state in states:
        noisy = state.noisy
    return noisy
