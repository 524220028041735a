"""Renaming that can be undone: tables of our names beside theirs, and views that read through them tensor by tensor.

A table is a list of entries. An entry gives a module or tensor its two names; what stands below it keeps its own. The
longest name counts. Where their one tensor holds several of ours, or another form of it, a `Change` goes both ways.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sfumato.errors import CheckpointError
from sfumato.networks.config import MOST_LAYERS

DEEPEST = 24  # components of a name; no network nests as deep


class Source(Protocol):
    """Tensors by name, of which shapes and types are known without reading them."""

    def names(self) -> Iterable[str]:
        """What is there."""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one, without reading it."""

    def dtype(self, name: str) -> torch.dtype:
        """The type of one, without reading it."""

    def get(self, name: str) -> Tensor:
        """Reads one."""


class Change(NamedTuple):
    """What is done to a tensor on the way in and undone on the way out; ValueError for shapes that do not allow it."""

    apart: Callable[[Tensor], Sequence[Tensor]]  # their one tensor to ours
    together: Callable[[Sequence[Tensor]], Tensor]  # and back


def cut(*shares: int) -> Change:
    """Theirs holds ours one above the other, their rows in these proportions: (1, 1, 1) for query, key and value."""

    def apart(whole: Tensor) -> Sequence[Tensor]:
        rows = whole.shape[0] if whole.ndim else 0
        if rows % sum(shares):
            raise ValueError(f"{rows} rows cannot be cut {':'.join(map(str, shares))}")
        return whole.split([rows // sum(shares) * share for share in shares])

    return Change(apart, lambda ours: torch.cat(list(ours)))


def _swap(x: Tensor) -> Tensor:
    if x.ndim == 0 or x.shape[0] % 2:
        raise ValueError(f"shape {tuple(x.shape)} has no two halves")
    return torch.cat([*x.chunk(2)][::-1])


def _transpose(x: Tensor) -> Tensor:
    if x.ndim != 2:
        raise ValueError(f"shape {tuple(x.shape)} is not that of a matrix")
    return x.t().contiguous()


def _as_linear(x: Tensor) -> Tensor:
    if any(edge != 1 for edge in x.shape[2:]):
        raise ValueError(f"shape {tuple(x.shape)} is not that of a 1x1 convolution")
    return x.reshape(x.shape[:2])


def _as_convolution(x: Tensor) -> Tensor:
    return x[:, :, None, None] if x.ndim == 2 else x


SAME = Change(lambda x: (x,), lambda ours: ours[0])
SWAPPED = Change(lambda x: (_swap(x),), lambda ours: _swap(ours[0]))
"""Shift above scale in theirs, scale above shift in ours."""
TRANSPOSED = Change(lambda x: (_transpose(x),), lambda ours: _transpose(ours[0]))
CONVOLUTION = Change(lambda x: (_as_linear(x),), lambda ours: _as_convolution(ours[0]))
"""A 1x1 convolution in theirs, a linear layer in ours; biases stay."""
QKV = cut(1, 1, 1)


class Entry(NamedTuple):
    """One line of a table: several names of `ours`, with spaces between, are what `theirs` is cut into."""

    ours: str
    theirs: str
    change: Change = SAME


Table = Sequence[Entry]


def below(ours: str, theirs: str, table: Table) -> list[Entry]:
    """A table of what stands in a module, put where that module stands."""
    return [
        Entry(" ".join(f"{ours}.{name}" for name in entry.ours.split()), f"{theirs}.{entry.theirs}", entry.change)
        for entry in table
    ]


class Origin(NamedTuple):
    """Where a tensor of a view comes from."""

    source: Source
    names: tuple[str, ...]
    make: Callable[[Sequence[Tensor]], Sequence[Tensor]] | None = None  # None: as it is
    piece: int = 0  # which of what is made


class View:
    """Tensors under other names, each made of others when it is asked for.

    What was read last is kept until another is read, so that the pieces of a tensor cost one reading.
    """

    def __init__(self, origins: Mapping[str, Origin]):
        self.origins = dict(origins)
        self._modules: set[str] | None = None
        self._kept: tuple[Origin, Sequence[Tensor]] | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.origins

    def names(self) -> Iterator[str]:
        return iter(self.origins)

    def origin(self, name: str) -> Origin:
        """Where a tensor comes from; CheckpointError when it is not there."""
        if name not in self.origins:
            raise CheckpointError(f"the tensor {name} is missing")
        return self.origins[name]

    def shape(self, name: str) -> tuple[int, ...]:
        origin = self.origin(name)
        shapes = [origin.source.shape(each) for each in origin.names]
        if origin.make is None:
            return tuple(shapes[0])
        pretended = self._made(name, origin, lambda: [torch.empty(shape, device="meta") for shape in shapes])
        return tuple(pretended[origin.piece].shape)

    def sizes(self, name: str, axes: int) -> tuple[int, ...]:
        """The shape of one that has so many axes; CheckpointError when it has others."""
        shape = self.shape(name)
        if len(shape) != axes:
            raise CheckpointError(f"the tensor {name} has the shape {shape}, which should have {axes} axes")
        return shape

    def dtype(self, name: str) -> torch.dtype:
        origin = self.origin(name)
        kinds = {origin.source.dtype(each) for each in origin.names}
        if len(kinds) > 1:
            told = ", ".join(origin.names)
            raise CheckpointError(f"{name} is made of {told}, which are not of one type: {sorted(map(str, kinds))}")
        return kinds.pop()

    def get(self, name: str) -> Tensor:
        origin = self.origin(name)
        if origin.make is None:
            return origin.source.get(origin.names[0])
        if self._kept is None or self._kept[0][:2] != origin[:2]:
            self._kept = None  # before the next is read
            self._kept = origin, self._made(name, origin, lambda: [origin.source.get(each) for each in origin.names])
        return self._kept[1][origin.piece]

    def _made(self, name: str, origin: Origin, tensors: Callable[[], list[Tensor]]) -> Sequence[Tensor]:
        assert origin.make is not None
        try:
            return origin.make(tensors())
        except (ValueError, RuntimeError, IndexError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{name} cannot be made of {', '.join(origin.names)}: {error}") from error

    def blocks(self, module: str) -> int:
        """How many numbered blocks a module has: module.0, module.1, ... without a gap."""
        if self._modules is None:
            self._modules = {module for name in self.origins for module in _modules(name)}
        count = next(count for count in itertools.count() if f"{module}.{count}" not in self._modules)
        if count > MOST_LAYERS:
            raise CheckpointError(f"{module} has {count} blocks, more than any network has")
        return count


def within(source: Source, prefix: str) -> View:
    """What a source has under a prefix, without the prefix."""
    return View({name[len(prefix) :]: Origin(source, (name,)) for name in source.names() if name.startswith(prefix)})


def ours(theirs: View, table: Table) -> View:
    """Tensors under our names.

    Raises:
        CheckpointError: a name that the table does not know, or two that become one.
    """
    index = {entry.theirs: entry for entry in table}
    origins: dict[str, Origin] = {}
    for name in theirs.names():
        entry, rest = _found(index, name)
        if entry is None:
            raise CheckpointError(f"the tensor {name} is not known in this layout")
        for piece, new in enumerate(entry.ours.split()):
            if new + rest in origins:
                raise CheckpointError(f"the tensor {name} is there twice, as {origins[new + rest].names[0]} too")
            make = None if entry.change is SAME else _apart(entry.change)
            origins[new + rest] = Origin(theirs, (name,), make, piece)
    return View(origins)


def theirs(ours: Source, table: Table) -> View:
    """Tensors under their names.

    Raises:
        CheckpointError: a name that the table does not know, or a piece of a tensor that is missing.
    """
    index = {name: entry for entry in table for name in entry.ours.split()}
    known, origins = set(ours.names()), {}
    for name in known:
        entry, rest = _found(index, name)
        if entry is None:
            raise CheckpointError(f"the tensor {name} has no name in this layout")
        pieces = tuple(each + rest for each in entry.ours.split())
        if missing := [each for each in pieces if each not in known]:
            raise CheckpointError(f"the tensor {missing[0]} is missing beside {name}")
        make = None if entry.change is SAME else _together(entry.change)
        origins[entry.theirs + rest] = Origin(ours, pieces, make)
    return View(dict(sorted(origins.items())))


def _apart(change: Change) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
    return lambda tensors: change.apart(tensors[0])


def _together(change: Change) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
    return lambda tensors: (change.together(tensors),)


def _modules(name: str) -> Iterator[str]:
    """The name and all that it stands below, longest first."""
    parts = name.split(".", DEEPEST)
    return (".".join(parts[:end]) for end in range(len(parts), 0, -1))


def _found(index: Mapping[str, Entry], name: str) -> tuple[Entry | None, str]:
    """The entry with the longest name that this one is or stands below, and the rest of the name."""
    for module in _modules(name):
        if module in index:
            return index[module], name[len(module) :]
    return None, ""
