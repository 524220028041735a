"""The time and memory that a training will take, told by `sfumato train --estimate` in a process of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.server.studio.training.asked import Asked
from sfumato.server.studio.training.process import output_of


@dataclass(frozen=True)
class StageTold:
    """One stage: the size of its network, its steps and the seconds of all of them."""

    name: str
    size: str
    steps: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What a training will take.

    Attributes:
        samples, set_aside: what can be used of the data, and what cannot.
        stages: in their order.
        seconds: in all.
        memory: bytes that it took at most, of the GPU where it computes there.
        free: bytes that were free there; None where nobody knows.
        disk: bytes that are free where the model will be.
    """

    samples: int
    set_aside: int
    stages: tuple[StageTold, ...]
    seconds: float
    memory: int
    free: int | None
    disk: int

    @property
    def fits(self) -> bool:
        """Whether there was enough memory."""
        return self.free is None or self.memory <= self.free


async def estimate(asked: Asked, folder: Path) -> Estimate:
    """Train each stage for a moment and tell; cancelling ends the process.

    Raises TrainingError with what the process said when it failed.
    """
    return read(json.loads(await output_of(asked.command(folder, "--estimate", "--json"))))


def read(told: dict[str, Any]) -> Estimate:
    """What the command told."""
    names = ("name", "size", "steps", "seconds")
    return Estimate(
        samples=told["samples"],
        set_aside=told["set_aside"],
        stages=tuple(StageTold(*(stage[name] for name in names)) for stage in told["stages"]),
        seconds=told["seconds"],
        memory=told["device_memory"] or told["memory"],
        free=told["free_memory"],
        disk=told["free_disk"],
    )


def clock(seconds: float) -> str:
    """A duration for people: "40 s", "12 min", "2 h 05 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
