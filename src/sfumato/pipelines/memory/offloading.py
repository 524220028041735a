"""Weights that wait on the CPU, and are on the device only while they are used.

The weights on the CPU stay what they are, views of the mapped file where they can be; on the device there are copies,
which are forgotten after use. Nothing is ever copied back, so a weight that is changed is to be changed on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfumato.errors import RecipeError

OFFLOADS = ("parts", "blocks")
"""What is on the device at a time: one network of the model, or one block of it and what is in no block."""


def require_offload(how: str | None, device: torch.device) -> None:
    """Refuse what is no way to offload, or would do nothing: RecipeError says why."""
    if how is None:
        return
    if how not in OFFLOADS:
        raise RecipeError(f"There is no way to offload {how!r:.100}; there are {', '.join(OFFLOADS)}.")
    if device.type == "cpu":
        raise RecipeError(
            "offload keeps weights on the CPU until an accelerator needs them; here they are used on the CPU. Those "
            "of the file's own type stay in the mapped file, and the system drops what it needs the room of."
        )


class Unit(NamedTuple):
    """Modules whose own weights come and go together."""

    modules: list[nn.Module]

    @property
    def bytes(self) -> int:
        """Of its weights and tables."""
        tensors = {id(tensor): tensor for module in self.modules for _, tensor in _own(module)}
        return sum(tensor.nbytes for tensor in tensors.values())


def units(part: nn.Module, how: str) -> tuple[Unit, list[Unit]]:
    """What of a network stays while it is at work, and the blocks of which one at a time is there.

    Blocks are the items of the outermost lists of modules.
    """
    if how == "parts":
        return Unit(list(part.modules())), []
    blocks: list[Unit] = []

    def rest(module: nn.Module) -> list[nn.Module]:
        if isinstance(module, nn.ModuleList):
            blocks.extend(Unit(list(block.modules())) for block in module)
            return []
        return [module, *(inner for child in module.children() for inner in rest(child))]

    return Unit(rest(part)), blocks


def staged(part: nn.Module, how: str) -> int:
    """The bytes of a network that are on the device at a time, at the most."""
    trunk, blocks = units(part, how)
    return trunk.bytes + max((block.bytes for block in blocks), default=0)


class Offloading:
    """Brings the weights of networks to a device as they are used, and forgets those of others.

    Attributes:
        brought: bytes that were copied to the device until now.
    """

    def __init__(self, parts: Mapping[str, nn.Module], device: torch.device, how: str) -> None:
        self.device, self.how, self.brought = device, how, 0
        self._there: list[tuple[Unit, list[tuple[nn.Module, str, Tensor]]]] = []
        for part in parts.values():
            trunk, blocks = units(part, how)
            self._watch(trunk, [])
            for block in blocks:
                self._watch(block, [trunk])

    def release(self) -> None:
        """Forgets all copies; the networks are on the CPU again."""
        while self._there:
            self._forget()

    def _watch(self, unit: Unit, under: list[Unit]) -> None:
        def used(*_: object) -> None:
            self._need([*under, unit])

        for number, module in enumerate(unit.modules):
            if number == 0 or _own(module):  # autoencoders are never called as a whole
                module.register_forward_pre_hook(used)

    def _need(self, wanted: list[Unit]) -> None:
        """At most a trunk and one of its blocks are there, the trunk first; a trunk alone may keep a block."""
        there = [unit for unit, _ in self._there]
        kept = sum(1 for one, other in zip(there, wanted, strict=False) if one is other)
        if kept == len(wanted):
            return
        while len(self._there) > kept:
            self._forget()
        for unit in wanted[kept:]:
            self._there.append((unit, self._bring(unit)))

    def _bring(self, unit: Unit) -> list[tuple[nn.Module, str, Tensor]]:
        home, copies = [], dict[int, Tensor]()
        with torch.inference_mode(False), torch.no_grad():  # gradients may run through what is computed with them
            for module in unit.modules:
                for name, tensor in _own(module):
                    if id(tensor) not in copies:
                        copies[id(tensor)] = _like(tensor, tensor.detach().to(self.device))
                        self.brought += tensor.nbytes
                    home.append((module, name, tensor))
                    _put(module, name, copies[id(tensor)])
        return home

    def _forget(self) -> None:
        _, home = self._there.pop()
        for module, name, tensor in home:
            _put(module, name, tensor)


def _own(module: nn.Module) -> list[tuple[str, Tensor]]:
    every = (*module._parameters.items(), *module._buffers.items())
    return [(name, tensor) for name, tensor in every if tensor is not None]


def _like(tensor: Tensor, copy: Tensor) -> Tensor:
    return nn.Parameter(copy, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy


def _put(module: nn.Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, nn.Parameter):
        module._parameters[name] = tensor
    else:
        module._buffers[name] = tensor
