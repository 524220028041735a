"""Where tensors come from: one safetensors file, or several that an index ties together; first looked at, then read.

A file may come from anyone. Its header is read first, bounded, and says of each tensor its type and shape; nothing is
allocated by what it claims. Tensors are then taken one by one, as views of the mapped file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sfumato.checkpoints.files import few, parse_json, read_json
from sfumato.errors import CheckpointError

LARGEST_HEADER = 8 * 2**20  # bytes; those of the largest models known have less than one million
MOST_AXES = 8
LONGEST_NAME = 1024

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The words of safetensors for types; others, packed or complex, are of no network here."""


class Entry(NamedTuple):
    """What is known of a tensor before it is read."""

    dtype: torch.dtype
    shape: tuple[int, ...]


class Source(Protocol):
    """Tensors of a file or of several, by name."""

    path: Path

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What there is, in the order in which it is best read."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself; it may be nothing."""
        ...

    def get(self, name: str) -> Tensor:
        """The tensor, contiguous, on the CPU: a view of the mapped file that takes no memory of its own.

        Raises CheckpointError when it cannot be read.
        """
        ...


class Safetensors:
    """One safetensors file.

    Raises CheckpointError for a file that is missing, truncated or lies about itself: a header larger than the file or
    than `LARGEST_HEADER`, a name or key that stands twice, a type that is not known, or places that overlap, leave
    holes or are not as large as the shape says.
    """

    def __init__(self, path: Path):
        self.path = path
        header = _header(path)
        try:
            # safetensors itself sees to it that the header fits the file: types, sizes, overlaps, holes
            self._file: Any = safe_open(path, framework="pt")
            names = self._file.offset_keys()
        except (SafetensorError, OSError, ValueError, MemoryError) as error:
            raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
        self.metadata: Mapping[str, str] = header.get("__metadata__") or {}
        self.entries: Mapping[str, Entry] = {name: _entry(path, name, header[name]) for name in names}

    def get(self, name: str) -> Tensor:
        """The tensor, as a view of the mapped file."""
        try:
            tensor: Tensor = self._file.get_tensor(name)
            # a header of odd length puts numbers where not every processor can read them
            return tensor.clone() if tensor.data_ptr() % tensor.element_size() else tensor
        except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
            raise CheckpointError(f"{self.path}: {name} cannot be read: {error}") from error


def _header(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():  # nor a pipe, which would be waited for
            raise CheckpointError(f"{path} is missing: this is not a complete model folder.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
            if not 2 <= length <= size - 8:
                raise CheckpointError(f"{path} is not a whole safetensors file: a header of {length} bytes in {size}.")
            if length > LARGEST_HEADER:
                raise CheckpointError(f"{path} has a header of {length} bytes, more than any model needs; not read.")
            text = file.read(length)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    header = parse_json(text, f"{path} is not a whole safetensors file: its header")
    for name in header:
        if len(name) > LONGEST_NAME:
            raise CheckpointError(f"{path}: the name {name[:40]!r}... is longer than that of any tensor.")
    return header


def _entry(path: Path, name: str, told: dict[str, Any]) -> Entry:
    shape, dtype = tuple(told["shape"]), DTYPES.get(told["dtype"])
    if dtype is None:
        raise CheckpointError(f"{path}: {name} is of the type {told['dtype']}; known: {', '.join(DTYPES)}.")
    if len(shape) > MOST_AXES or any(axis >= 2**63 for axis in shape):
        raise CheckpointError(f"{path}: {name} has the shape {shape!s:.100}, which no tensor has.")
    return Entry(dtype, shape)


class Sharded:
    """Several files that an index, `*.index.json`, ties together; `open_shard` opens one of them.

    Raises CheckpointError when the index names a file that does not lie beside it, or when what it says of a file and
    what that holds are not the same.
    """

    def __init__(self, path: Path, open_shard: Callable[[Path], Source] = Safetensors):
        self.path = path
        files = read_json(path).get("weight_map")
        if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
            raise CheckpointError(f"{path}: weight_map should say of each tensor in which file it lies.")
        shards = {file: open_shard(_beside(path, file)) for file in sorted(set(files.values()))}
        self._shard = {name: shard for shard in shards.values() for name in shard.entries}
        self.entries: Mapping[str, Entry] = {
            name: entry for shard in shards.values() for name, entry in shard.entries.items()
        }
        self.metadata: Mapping[str, str] = {}
        lacking = [name for name, file in files.items() if name not in shards[file].entries]
        surplus = [f"{name} in {file}" for file in shards for name in shards[file].entries if files.get(name) != file]
        if lacking or surplus:
            raise CheckpointError(
                f"{path} does not fit its files: {few('missing', lacking)}{few('not expected', surplus)}".rstrip()
            )

    def get(self, name: str) -> Tensor:
        """The tensor, as a view of its mapped file."""
        return self._shard[name].get(name)


def _beside(index: Path, name: str) -> Path:
    """The file beside an index, which may be a link only if the index is one to the same folder, as in hub caches."""
    if name != os.path.basename(name) or name in ("", ".", "..") or "\\" in name or "\0" in name:  # noqa: PTH119
        raise CheckpointError(f"{index} names {name!r:.200}, which is no file beside it.")
    path = index.parent / name
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is missing, which {index.name} names: the model is not complete.")
        if path.resolve().parent not in (index.parent.resolve(), index.resolve().parent):
            raise CheckpointError(f"{path} is a link to {path.resolve()}, out of its folder; it was not followed.")
    except (OSError, RuntimeError) as error:  # a link to itself, a name that is too long
        raise CheckpointError(f"{index} names {name!r:.200}, which cannot be read: {error}") from error
    return path


def read_tensors(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """All tensors of a safetensors file; CheckpointError says which file is missing or broken."""
    return dict(_all(Safetensors(path), device))


def _all(source: Source, device: str) -> Iterator[tuple[str, Tensor]]:
    for name in source.entries:
        yield name, source.get(name).to(device)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    return dict(Safetensors(path).metadata)
