"""Files that are either whole or not there: written to a temporary name, flushed, renamed. Weights are safetensors."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sfumato.errors import CheckpointError, StorageError

LARGEST_JSON = 16 * 2**20  # bytes; no configuration is larger


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a failed write into a StorageError that says what to do."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, StorageError):
            raise
        reason = "the disk is full" if _errno(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else str(error)
        raise StorageError(
            f"Could not write {path}: {reason}. Earlier files are intact; make room or check the folder, "
            "then run the same command again."
        ) from error


def _errno(error: OSError | SafetensorError) -> int | None:
    """The system's number of an error; safetensors tells it in words only."""
    if isinstance(error, OSError):
        return error.errno
    told = re.search(r"os error (\d+)", str(error))
    return int(told[1]) if told else None


def write(path: Path, fill: Callable[[Path], None]) -> None:
    """Write a file all or nothing: `fill` gets a temporary path beside it, which is flushed to disk and renamed."""
    temporary = path.with_name(f".{path.name}.partial")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch()
            mode = temporary.stat().st_mode  # as this user makes files; safetensors would make them private
            fill(temporary)
            temporary.chmod(mode)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a text file all or nothing, as UTF-8."""
    write(path, lambda temporary: _fill(temporary, text))


def _fill(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON all or nothing, indented, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, all or nothing; names in sorted order, so equal tensors give equal bytes."""
    ordered = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    write(path, lambda temporary: save_file(ordered, temporary, metadata={"format": "pt", **(metadata or {})}))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; CheckpointError says which file is missing, too large or broken."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise CheckpointError(f"{path} is larger than any configuration should be; it was not read.")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: this is not a complete model folder.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} should hold a JSON object, but holds a {type(value).__name__}.")
    return value


def read_tensors(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Read a safetensors file; CheckpointError says which file is missing or broken."""
    return dict(_read(path, device))


def _read(path: Path, device: str) -> Iterator[tuple[str, Tensor]]:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: this is not a complete model folder.")
    try:
        with safe_open(path, framework="pt", device=device) as file:
            for name in file.keys():  # noqa: SIM118  a safetensors handle is no mapping
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `path` only when it is complete.

    A kill while it is filled leaves `path` as it was.
    """
    temporary, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
    with storage_errors(path):
        _recover(path, old)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            shutil.rmtree(old, ignore_errors=True)
            if path.exists():
                path.replace(old)
            temporary.replace(path)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            _recover(path, old)
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _recover(path: Path, old: Path) -> None:
    """Put the old folder back if the exchange was cut short between its two moves."""
    if old.exists() and not path.exists():
        old.replace(path)
