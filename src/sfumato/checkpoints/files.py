"""Files that are either whole or not there: written to a temporary name, flushed, renamed. Weights are safetensors."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from sfumato.errors import CheckpointError, StorageError

LARGEST_JSON = 16 * 2**20  # bytes; no configuration is larger
DEEPEST_JSON = 64  # levels


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
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: this is not a complete model folder.")
        if path.stat().st_size > LARGEST_JSON:
            raise CheckpointError(f"{path} is larger than any configuration should be; it was not read.")
        text = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    return parse_json(text, str(path))


def parse_json(text: bytes, what: str) -> dict[str, Any]:
    """A JSON object from UTF-8, strictly: no key twice, no numbers that are not finite.

    Raises CheckpointError, which begins with `what`.
    """
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_each_once,
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_whole,
        )
    except (ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{what} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{what} should hold a JSON object, but holds a {type(value).__name__}.")
    if _is_deeper(value, DEEPEST_JSON):
        raise CheckpointError(f"{what} is nested deeper than any configuration should be, {DEEPEST_JSON} levels.")
    return value


def _is_deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects lie in one another more than `limit` levels deep; level by level, never recursive."""
    layer = [value]
    for _ in range(limit + 1):
        layer = [inner for each in layer if isinstance(each, dict | list) for inner in _inside(each)]
    return any(isinstance(each, dict | list) for each in layer)


def _inside(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key[:100]!r} stands twice")
        found[key] = value
    return found


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text:.40} is no finite number")
    return number


def _whole(text: str) -> int:
    _finite(text)  # more than any float can hold would fail wherever it is used as one
    return int(text)


def few(what: str, keys: Sequence[str]) -> str:
    """The first of many keys, for a message: "missing a, b, c and 2 more. "; empty if there are none."""
    if not keys:
        return ""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{what} {', '.join(key[:100] for key in keys[:3])}{more}. "


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `path` only when it is complete.

    A kill while it is filled leaves `path` as it was. Where that is a link, the folder that it names is exchanged.
    """
    path = path.resolve() if path.is_symlink() else path
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
