"""The time and memory that a training will take, told by `sfumato train --estimate` in a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.errors import TrainingError
from sfumato.server.studio.training.asked import Asked

MOST_OUTPUT = 64 * 1024  # bytes of a message
PATIENCE = 20.0  # seconds until a process that was asked to stop is killed


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
    process = await asyncio.create_subprocess_exec(
        *asked.command(folder, "--estimate", "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        told, said = await process.communicate()
    except asyncio.CancelledError:
        await _end(process)
        raise
    if process.returncode != 0:
        last = said[-MOST_OUTPUT:].decode(errors="replace").strip()
        raise TrainingError(last or killed(process.returncode))
    return read(json.loads(told))


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


def killed(code: int | None) -> str:
    """What to say of a process that ended without a word."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"It was ended by {name}." + (" There may be too little memory for it." if name == "SIGKILL" else "")
    return f"It ended with code {code}."


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()


def clock(seconds: float) -> str:
    """A duration for people: "40 s", "12 min", "2 h 05 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
