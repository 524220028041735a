"""`tuned_steps.json` beside the parts of a model: times that were tuned to it, by solver and number of steps.

It lies outside the parts, whose fingerprint tells one model from another, and so may change while the model stays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sfumato.checkpoints.files import read_json, storage_errors, write_json
from sfumato.errors import CheckpointError

FILE = "tuned_steps.json"


def require_writable(path: Path) -> None:
    """Say before the search, not after it, that its times could not be written to this file.

    Raises CheckpointError when the file holds something else, StorageError when its folder takes no file.
    """
    if path.exists():
        read_json(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def write_steps(path: Path, solver: str, times: Sequence[float], facts: dict[str, Any]) -> None:
    """Put times of the process, one a step from noise on, into the file; what it holds of other steps stays.

    `facts` says how they were found. All or nothing; raises StorageError when that fails.
    """
    known = read_json(path) if path.exists() else {}
    known[_key(solver, len(times))] = {"times": list(times), **facts}
    write_json(path, dict(sorted(known.items())))


def read_steps(path: Path, solver: str, steps: int, fingerprint: str, command: str) -> tuple[float, ...]:
    """The times for a solver and number of steps, tuned to the model with this fingerprint.

    Raises CheckpointError when there are none, saying which there are, or when they are of another model; `command`
    is what it tells the reader to type.
    """
    known = read_json(path) if path.is_file() else {}
    found = known.get(_key(solver, steps))
    if not isinstance(found, dict):
        there = f"there are {', '.join(known)}" if known else "there are none yet"
        raise CheckpointError(
            f"{path} has no steps tuned for {_key(solver, steps)}; {there}. Make them with: {command}"
        )
    if found.get("model_fingerprint") != fingerprint:
        raise CheckpointError(
            f"The steps in {path} were tuned to the model with the fingerprint {found.get('model_fingerprint')}, this "
            f"one has {fingerprint}. Tune them again with: {command}"
        )
    times = found.get("times")
    if not isinstance(times, list) or len(times) != steps or not all(isinstance(time, float | int) for time in times):
        raise CheckpointError(f"{path}: the times of {_key(solver, steps)} are not {steps} numbers.")
    return tuple(float(time) for time in times)


def _key(solver: str, steps: int) -> str:
    return f"{solver}-{steps}"
