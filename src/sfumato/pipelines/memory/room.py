"""How much memory is free, and what to do when it is too little."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from sfumato.errors import RoomError
from sfumato.pipelines.memory.estimate import Estimate

CLEARLY = 2  # times what is free: then it is refused; less may be a mistake of the estimate, or be swapped
GiB = 2**30


class RoomWarning(UserWarning):
    """Making a picture may take more memory than is free."""


def free(device: torch.device) -> int | None:
    """The bytes that are free on a device; None where that cannot be known."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min((each for each in (_of_the_machine(), _of_the_group()) if each is not None), default=None)


def require_room(need: int, there: int, told: Estimate, *, tiles: str, offload: str | None) -> None:
    """Warn where there is less room than is needed; RoomError where there is clearly less.

    Args:
        need: bytes that will be taken besides what is taken already.
        there: bytes that are free.
        told: what the need is part of.
        tiles, offload: as they are, to say what would help.
    """
    if need <= there:
        return
    helps = ["Make smaller pictures"]
    if told.busiest == "vae" and tiles != "always":
        helps.append("decode them in tiles (--tiles always)")
    if told.device.type != "cpu" and offload != "blocks":
        helps.append(f"keep weights on the CPU (--offload {'blocks' if offload else 'parts'})")
    if told.device.type == "cpu":
        helps.append("compute in half precision (--dtype bfloat16)")
    message = (
        f"This takes about {need / GiB:.1f} GiB more on {told.device}, at the most for the "
        f"{told.busiest or 'pictures'}, and {there / GiB:.1f} GiB are free. {', or '.join(helps)}."
    )
    if need > CLEARLY * there:
        raise RoomError(message)
    warnings.warn(RoomWarning(message), stacklevel=3)


def _of_the_machine(file: Path = Path("/proc/meminfo")) -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in file.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _of_the_group(root: Path = Path("/sys/fs/cgroup"), told: Path = Path("/proc/self/cgroup")) -> int | None:
    """What control groups leave, version 2: the least of this process's group and all those around it.

    Pages of files count as used there, but are given up when they are needed.
    """
    try:
        name = next(line[3:] for line in told.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    here = root / name.strip("/")
    left = []
    for group in (here, *here.parents):
        if root not in (group, *group.parents):
            break
        try:
            most, used = ((group / f"memory.{what}").read_text().strip() for what in ("max", "current"))
            pages = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            if most != "max":
                left.append(max(0, int(most) - int(used) + int(pages.get("file", 0))))
        except (OSError, ValueError):
            continue
    return min(left, default=None)
