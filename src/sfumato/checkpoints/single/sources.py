"""Between files that list their tensors' types and shapes in `entries` and the views of this room, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from sfumato.checkpoints.single.family import naming
from sfumato.checkpoints.single.renaming import Source
from sfumato.checkpoints.tensors import Entry


class Listing(Protocol):
    """An opened file: by name what is known of each tensor, and the tensor."""

    @property
    def entries(self) -> Mapping[str, Any]:
        """What there is, each with its `dtype` and `shape`."""

    def get(self, name: str) -> Tensor:
        """Reads one."""


class Listed:
    """An opened file as a source of views."""

    def __init__(self, file: Listing):
        self.file = file

    def names(self) -> Iterable[str]:
        return self.file.entries.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.file.entries[name].shape)

    def dtype(self, name: str) -> torch.dtype:
        kind: torch.dtype = self.file.entries[name].dtype
        return kind

    def get(self, name: str) -> Tensor:
        return self.file.get(name)


class Part:
    """A view as an opened file: what a network is filled from.

    Args:
        source: the view of one part.
        path: the file that it comes from, for messages.
        metadata: what that file says of itself.
    """

    def __init__(self, source: Source, path: Path, metadata: Mapping[str, str] | None = None):
        self.source, self.path, self.metadata = source, path, dict(metadata or {})

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """What there is; CheckpointError for a tensor that cannot be made."""
        with naming(self.path):
            return {name: Entry(self.source.dtype(name), self.source.shape(name)) for name in self.source.names()}

    def get(self, name: str) -> Tensor:
        """Reads one."""
        with naming(self.path):
            return self.source.get(name)
