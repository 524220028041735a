"""How much memory a computation takes, without doing it: its tensors are on the meta device, where they have none.

Each operation tells of what shape its results would be. Their bytes are counted from when an operation makes them until
Python lets go of them, as it would in earnest, so the count is right for any network without a formula for it.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from sfumato.pipelines.memory.machines import Machine


class Tracking(TorchDispatchMode):
    """Counts the bytes of the meta tensors that are alive.

    Attributes:
        peaks: the most there were, with what the machine needs besides, while each part was at work, by its name; ""
            while none was.
    """

    def __init__(self, parts: Mapping[str, nn.Module], machine: Machine) -> None:
        super().__init__()
        self.parts, self.machine = parts, machine
        self.peaks: Counter[str] = Counter()
        self._alive, self._working = 0.0, [""]
        self._known = {_storage(tensor)._cdata for part in parts.values() for tensor in _tensors(part)}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts what is done meanwhile."""
        with ExitStack() as hooks, _Fused(), self, torch.no_grad():
            for name, part in self.parts.items():
                for module in (part, *part.children()):  # autoencoders are asked through their halves
                    hooks.callback(module.register_forward_pre_hook(self._begins(name)).remove)
                    hooks.callback(module.register_forward_hook(self._ends).remove)
            yield

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor) and tensor.is_meta:
                self._count(_storage(tensor))
        where = self._working[-1]
        copies = sum(map(self.machine.size, self.machine.copies(func, args, result)))
        self.peaks[where] = max(self.peaks[where], round(self._alive + copies))
        return result

    def _count(self, storage: Any) -> None:
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            size = self.machine.size(storage.nbytes())
            self._alive += size
            weakref.finalize(storage, self._freed, storage._cdata, size).atexit = False

    def _freed(self, key: int, size: float) -> None:
        self._known.discard(key)
        self._alive -= size

    def _begins(self, name: str) -> Callable[..., None]:
        def begin(*_: object) -> None:
            self._working.append(name)

        return begin

    def _ends(self, *_: object) -> None:
        self._working.pop()


class _Fused(TorchFunctionMode):
    """Attention in pieces, which never has the whole map of scores, as processors and accelerators compute it."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention and args[0].is_meta:
            q, _, v = args[:3]
            lying = q.new_empty(*q.shape[:-3], q.shape[-2], q.shape[-3], v.shape[-1])  # b n heads c
            return lying.transpose(-2, -3)
        return func(*args, **(kwargs or {}))


def _tensors(part: nn.Module) -> Iterator[Tensor]:
    yield from part.parameters()
    yield from part.buffers()


def _storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage()
