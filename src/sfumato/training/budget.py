"""A time budget: it picks a stage's size and its number of steps by how fast this machine trains it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from sfumato.errors import RecipeError
from sfumato.progress import Progress
from sfumato.training.ema import Average
from sfumato.training.loop import advance
from sfumato.training.optimizers import build
from sfumato.training.recipe import SIZES, Recipe, Size, Training
from sfumato.training.stage import Draw, Stage
from sfumato.training.state import State
from sfumato.training.team import Team

MARGIN = 0.92  # of the time is for steps; the rest for sample grids, checkpoints and files
FEWEST_STEPS = 50
MOMENT = 2.0  # seconds of training from which the speed is told


def plan(
    name: str, recipe: Recipe, seconds: float, builder: Callable[[Recipe], Stage], team: Team, progress: Progress
) -> Training:
    """The stage's table with the size and the steps that fit into `seconds`.

    Of the sizes, the largest that still sees `enough` samples is taken, or the smallest.
    """
    chosen: tuple[Size, float] | None = None
    given = recipe.stage(name)
    for size in (given.size,) if given.size else SIZES:
        began = time.monotonic()
        try:
            sized = recipe.with_stage(name, given.model_copy(update={"size": size}))
            each = seconds_a_step(name, sized, builder, team)
        except torch.OutOfMemoryError:
            if chosen is None:
                raise RecipeError(f"{name}: size {size} does not fit into memory; lower {name}.batch.") from None
            break
        seconds -= time.monotonic() - began
        samples = float(team.mean(torch.tensor(MARGIN * seconds / each * given.batch, device=team.device)))
        progress.say(f"{name}: size {size} takes {each:.3f} s a step, {samples:,.0f} samples in {seconds:.0f} s")
        if chosen is None or samples >= given.enough:
            chosen = (size, each)
        if samples < given.enough:
            break
    assert chosen is not None
    size, each = chosen
    steps = max(FEWEST_STEPS, int(MARGIN * seconds / each))
    return given.model_copy(update={"size": size, "steps": steps, "warmup": min(given.warmup, steps // 5)})


def seconds_a_step(name: str, recipe: Recipe, builder: Callable[[Recipe], Stage], team: Team) -> float:
    """Train a new network for a moment: the mean time of a step, the same number in all processes of the team."""
    stage, table = builder(recipe), recipe.stage(name)
    state = State(stage.objective, build(stage.objective, table), Average(stage.objective, table.ema))
    model = team.wrap(stage.objective)

    def mean_of(steps: int) -> float:
        began = time.monotonic()
        for _ in range(steps):
            batch = stage.batch(Draw(recipe.seed, "speed", state.step, table.batch, team))
            advance(state, model, batch, table, team)
            _finished(team)
        return float(team.mean(torch.tensor((time.monotonic() - began) / steps, device=team.device)))

    mean_of(1)  # the first step also chooses kernels
    return mean_of(max(3, min(20, int(MOMENT / mean_of(1)))))


def _finished(team: Team) -> None:
    if team.device.type == "cuda":
        torch.cuda.synchronize(team.device)
