"""A network built without memory, and filled tensor by tensor from a source.

There is never more in memory than the network and a piece of one tensor. Weights that already
have the type wanted, for the CPU, are not copied at all: they stay views of the mapped file, whose pages the system may
drop and read again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from sfumato.checkpoints.files import few
from sfumato.checkpoints.tensors import Source
from sfumato.errors import CheckpointError

PIECE = 2**18  # numbers that are checked and cast at once: they stay in the processor's cache between the two
MOST_BUFFERS = 2**26  # bytes of tables that a network computes for itself
Rename = Callable[[str], str | None]


# --- build ------------------------------------------------------------------------------------------------------------


def build(make: Callable[[], nn.Module], source: Source) -> nn.Module:
    """Build a network on the meta device, where its weights take no memory.

    Its buffers that no file holds, such as tables of positions, are real. A configuration that asks for many more
    weights than the file has is given up at once, however large the network would be.

    Raises CheckpointError when that happens, and whatever `make` raises.
    """
    with _at_most(2 * len(source.entries) + 64, source), torch.device("meta"):
        network = make()
    own = _own_buffers(network)
    if sum(buffer.nbytes for buffer in own.values()) > MOST_BUFFERS:
        raise CheckpointError(f"{source.path}: the network's configuration asks for tables larger than any network's.")
    if own:
        with _parameters_on_meta():
            computed = make()
        for name, buffer in _own_buffers(computed).items():
            _put(network, name, buffer)
    return network


def _own_buffers(network: nn.Module) -> dict[str, Tensor]:
    kept = network.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in network.named_buffers(remove_duplicate=False) if name not in kept}


@contextmanager
def _at_most(count: int, source: Source) -> Iterator[None]:
    made, builder = 0, get_ident()

    def counted(*_: object) -> None:
        nonlocal made
        made += get_ident() == builder  # other threads may be building too
        if made > count and get_ident() == builder:
            raise CheckpointError(
                f"{source.path} does not fit its configuration: the network has more weights than the file."
            )

    with register_module_parameter_registration_hook(counted):
        yield


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    builder = get_ident()

    def emptied(module: nn.Module, name: str, parameter: nn.Parameter) -> Any:  # or None, to leave it
        if get_ident() != builder:
            return None
        return nn.Parameter(parameter.to("meta"), parameter.requires_grad)

    with register_module_parameter_registration_hook(emptied):
        yield


# --- fill -------------------------------------------------------------------------------------------------------------


def fill(
    network: nn.Module,
    source: Source,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    rename: Rename | None = None,
) -> None:
    """Give a network that was built on the meta device its weights, one by one.

    Whether all fit is known before the first is read. Weights that the network has under several names may stand in
    the file under any of them.

    Args:
        network: as `build` makes it; it is not usable when this raises.
        source: of the weights.
        dtype: of the numbers; None leaves them as they are. Integers and truth values keep the network's own type, and
            layers that the network names in `overflowing` are of float32 where others are of float16.
        device: where they are put; the network's computed buffers too, which keep their type. On the meta device
            nothing is read, and only the source's header is checked.
        rename: a name in the source to that in the network; None leaves the tensor out.

    Raises CheckpointError naming the file and the keys when a tensor is missing, not expected, of another shape or
    kind, not finite, too large for `dtype` or for the memory.
    """
    device = torch.device(device)
    kinds = {place: tensor.dtype for place, tensor in network.state_dict().items()}
    overflowing = frozenset[str](getattr(network, "overflowing", ()))
    groups = _tied(network)
    places = _places(network, source, groups, rename)
    first = {place: next(each for each in group if each in places.values()) for group in groups for place in group}
    for name, place in places.items():
        if source.entries[name].dtype.is_floating_point != kinds[place].is_floating_point:
            raise CheckpointError(f"{source.path}: {name} is of {source.entries[name].dtype}, not {kinds[place]}.")
    for name, place in places.items():
        kind = (dtype or source.entries[name].dtype) if kinds[place].is_floating_point else kinds[place]
        if kind == torch.float16 and not overflowing.isdisjoint(place.split(".")):
            kind = torch.float32
        if first.get(place, place) == place:
            shape = _get(network, place).shape  # as the network has it, where a module squeezed an older file's
            _put(network, place, _read(source, name, kind, device).view(shape))
    for place, whole in first.items():
        _put(network, place, _get(network, whole))
    for name, place in places.items():
        tied = first.get(place, place) != place and device.type != "meta"
        if tied and not _same(source.get(name), _get(network, place)):
            raise CheckpointError(f"{source.path}: {name} should be the same as {first[place]}, and is not.")
    for name, buffer in _own_buffers(network).items():
        _put(network, name, buffer.to(device))


def _tied(network: nn.Module) -> list[list[str]]:
    """Names that are of one tensor, where there are several."""
    names: dict[int, list[str]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
    return [group for group in names.values() if len(group) > 1]


def _places(network: nn.Module, source: Source, tied: list[list[str]], rename: Rename | None) -> dict[str, str]:
    """Where in the network each tensor of the source belongs, in the source's order.

    `load_state_dict` decides, with all that modules have to say on old names: it is given tensors without memory, and
    where these are found afterwards is where the real ones belong.
    """
    given, names = {}, {}
    for name, entry in source.entries.items():
        place = rename(name) if rename else name
        if place is None:
            continue
        if place in given:
            raise CheckpointError(f"{source.path}: {name} is not the only one that belongs to {place}.")
        given[place] = torch.empty(entry.shape, device="meta")
        names[_identity(given[place])] = name
    try:
        missing, surplus = network.load_state_dict(given, strict=False, assign=True)
    except RuntimeError as error:
        why = " ".join(line.strip() for line in str(error).split("\n")[1:4])
        raise CheckpointError(f"{source.path} does not fit its configuration: {why}") from error
    elsewhere = {name for group in tied if not set(group) <= set(missing) for name in group}
    missing = [name for name in missing if name not in elsewhere]
    if missing or surplus:
        why = f"{few('missing', missing)}{few('not expected', surplus)}".rstrip()
        raise CheckpointError(f"{source.path} does not fit its configuration: {why}")
    for place, tensor in network.state_dict().items():
        told_by = names.get(_identity(tensor))
        if told_by and (tensor.numel() != math.prod(source.entries[told_by].shape) or not tensor.is_contiguous()):
            raise CheckpointError(f"{source.path}: {told_by} is not laid out as {place} of the network.")
    places = {names.get(_identity(tensor)): place for place, tensor in network.state_dict(keep_vars=True).items()}
    return {name: places[name] for name in source.entries if name in places}


def _identity(tensor: Tensor) -> int:
    """The same number for all tensors that share memory, or would if they had any."""
    return tensor.untyped_storage()._cdata


def _get(network: nn.Module, place: str) -> Tensor:
    path, _, name = place.rpartition(".")
    tensor: Tensor = getattr(network.get_submodule(path), name)
    return tensor


def _put(network: nn.Module, place: str, value: Tensor) -> None:
    path, _, name = place.rpartition(".")
    module = network.get_submodule(path)
    if name in module._parameters and not isinstance(value, nn.Parameter):
        value = nn.Parameter(value, requires_grad=value.is_floating_point())
    setattr(module, name, value)


def _read(source: Source, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type == "meta":
        return torch.empty(source.entries[name].shape, dtype=dtype, device=device)
    read = source.get(name)
    if read.dtype == dtype and device.type == "cpu":
        for piece in read.view(-1).split(PIECE):
            if not _surely_finite(piece):
                _check(source, name, piece, dtype)
        return read
    try:
        value = torch.empty(read.shape, dtype=dtype, device=device)
    except RuntimeError as error:
        need = read.numel() * dtype.itemsize / 2**30
        raise CheckpointError(f"{source.path}: there is no memory on {device} for {name}, {need:.1f} GiB.") from error
    for piece, target in zip(read.view(-1).split(PIECE), value.view(-1).split(PIECE), strict=True):
        target.copy_(piece)
        if device.type != "cpu" or not _surely_finite(target):
            _check(source, name, piece, dtype)
    return value


def _surely_finite(piece: Tensor) -> bool:
    """Whether the sum is a number, as that of numbers alone is: the cheapest way to ask; a large sum may be none."""
    return piece.is_floating_point() and piece.element_size() > 1 and math.isfinite(piece.sum().item())


def _check(source: Source, name: str, piece: Tensor, dtype: torch.dtype) -> None:
    """Refuse numbers that are not finite, or would not be in `dtype`; the extremes tell, in one pass without a copy."""
    if not piece.numel() or not piece.is_floating_point():
        return
    extremes = torch.stack((piece.float() if piece.element_size() == 1 else piece).aminmax()).double()
    if not extremes.isfinite().all():
        raise CheckpointError(f"{source.path} holds numbers that are not finite: in {name}.")
    largest = extremes.abs().max().item()
    if dtype.is_floating_point and largest > torch.finfo(dtype).max:
        raise CheckpointError(
            f"{source.path}: {name} holds numbers up to {largest:.3g}, more than {dtype} can hold; load it as float32."
        )


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of any types and places are equal, once they are of the second's type."""
    pieces = zip(one.view(-1).split(PIECE), other.detach().reshape(-1).split(PIECE), strict=False)
    return one.numel() == other.numel() and all(torch.equal(a.to(b), b) for a, b in pieces)
