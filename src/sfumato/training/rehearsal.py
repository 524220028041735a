"""How long a training will take, and how much memory: each stage is trained for a moment, and nothing of it is kept."""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sfumato.pipelines.memory.room import free
from sfumato.progress import Progress
from sfumato.training import budget as budgets
from sfumato.training import recipe as recipes
from sfumato.training.recipe import Recipe, Training
from sfumato.training.stages import builder
from sfumato.training.team import joined
from sfumato.training.train import RUN, AnyWorkshop, chosen_recipe, open_workshop

PREFIX = "estimate-"  # of the folder where the stages leave what the next ones need


@dataclass(frozen=True)
class StageTime:
    """What one stage will take.

    Attributes:
        name: of the stage.
        size: of its network.
        steps: how many it is trained.
        preparing: seconds before the first step, such as for encoding all pictures.
        seconds: in all.
    """

    name: str
    size: str
    steps: int
    preparing: float
    seconds: float


@dataclass(frozen=True)
class Rehearsal:
    """What a training will take on this machine.

    Attributes:
        device: where it computes, such as "cpu".
        samples: pictures, or tokens of text, that can be used.
        set_aside: pictures or texts that cannot.
        preparing: seconds for reading them; less where they were read before.
        stages: in their order.
        memory: bytes that the process had at most.
        device_memory: bytes on the GPU at most; 0 without one.
        free_memory: bytes that were free, on the GPU where there is one; None where that cannot be known.
        free_disk: bytes that are free where the model will be.
    """

    device: str
    samples: int
    set_aside: int
    preparing: float
    stages: tuple[StageTime, ...]
    memory: int
    device_memory: int
    free_memory: int | None
    free_disk: int

    @property
    def seconds(self) -> float:
        """In all."""
        return self.preparing + sum(stage.seconds for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "seconds": self.seconds}


def rehearse(
    data: str | Path,
    out: str | Path,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    budget: str | None = None,
    quiet: bool = False,
    size: str | None = None,
) -> Rehearsal:
    """Train each stage for a moment, with the arguments that `train` will be given, and tell how long all of it takes.

    With a budget the sizes and steps are told that it would choose. The networks of the moment are thrown away; the
    pictures or texts that were prepared stay in `out`, so that the training itself begins at once.

    Raises what `train` does.
    """
    folder = Path(out)
    chosen = chosen_recipe(data, recipe, settings, size)
    allowed = recipes.seconds(budget) if budget else None
    with joined(chosen.run) as team, Progress(quiet) as progress:
        there = free(team.device)
        began = time.monotonic()
        with _passing_folder(folder / RUN) as passing:
            opened = open_workshop(data, chosen, passing, folder / RUN, team, progress)
            workshop: AnyWorkshop = replace(opened, cache=passing)
            preparing = time.monotonic() - began
            left = None if allowed is None else max(allowed - preparing, 0.05 * allowed)
            stages = tuple(_tried(name, workshop, left, progress) for name in chosen.stages)
        store = workshop.store
        return Rehearsal(
            str(team.device),
            len(store),
            sum(not problem.kept for problem in store.report),
            preparing,
            stages,
            _most_memory(),
            torch.cuda.max_memory_reserved(team.device) if team.device.type == "cuda" else 0,
            there,
            shutil.disk_usage(folder).free,
        )


def _tried(name: str, workshop: AnyWorkshop, budget: float | None, progress: Progress) -> StageTime:
    """One stage, which leaves a hardly trained network for those that need it."""
    recipe, team = workshop.recipe, workshop.team
    build = builder(name, workshop)
    began = time.monotonic()
    build(recipe)
    preparing = time.monotonic() - began  # the first time it also computes what is kept of each picture
    plan = recipe.stage(name)
    if budget is None:
        each = budgets.seconds_a_step(name, recipe, build, team)
        seconds = preparing + plan.steps * each / budgets.MARGIN
    else:
        seconds = budget * plan.share / sum(recipe.stage(other).share for other in recipe.stages)
        plan = budgets.plan(name, recipe, seconds, build, team, progress)
    build(recipe.with_stage(name, plan)).finish()
    return StageTime(name, _size(plan, recipe), plan.steps, preparing, seconds)


def _size(plan: Training, recipe: Recipe) -> str:
    return plan.size or recipe.size


@contextmanager
def _passing_folder(run: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, with those that killed rehearsals left."""
    run.mkdir(parents=True, exist_ok=True)
    for old in run.glob(f"{PREFIX}*"):
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=run) as folder:
        yield Path(folder)


def _most_memory() -> int:
    """Bytes of memory that this process has had at most."""
    told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return told if sys.platform == "darwin" else told * 1024
