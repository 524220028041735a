"""What a machine needs beyond the tensors themselves: copies that its operations make, and what its allocator loses.

The numbers were measured, and hold for any network; `docs/memory.md` says how right they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

BLOCK = 16  # channels that the processor's convolutions compute together
MAPPED = 32 * 2**20  # bytes from which glibc gives a block pages of its own, and takes them back at once
HEAP = 1.8  # the size to which the heap of smaller blocks grows, over what is in it: measured, 1.5 to 2.0


class Machine(NamedTuple):
    """A kind of device.

    Attributes:
        copies: an operation, its arguments and its result -> the sizes of the blocks that it needs meanwhile.
        size: what a block of so many bytes takes.
    """

    copies: Callable[[Any, tuple[Any, ...], Any], list[int]]
    size: Callable[[int], float]


def machine_of(device: torch.device) -> Machine:
    """What is known of a device. Of accelerators nothing is: PyTorch counts there what is in tensors."""
    return Machine(_blocked, _on_the_heap) if device.type == "cpu" else Machine(lambda *_: [], float)


def _blocked(operation: Any, arguments: tuple[Any, ...], result: Tensor) -> list[int]:
    """Convolutions of oneDNN lay channels in blocks.

    They copy the picture and the weights to that order, compute into it, let go of the copies and copy the result back.
    """
    if operation is not torch.ops.aten.convolution.default:
        return []
    picture, weight = arguments[:2]
    channels = result.shape[1]
    blocked = result.nbytes // channels * (channels + -channels % BLOCK)
    if picture.nbytes + weight.nbytes + blocked - result.nbytes > blocked:
        return [picture.nbytes, weight.nbytes, blocked - result.nbytes]
    return [blocked]


def _on_the_heap(block: int) -> float:
    return block if block >= MAPPED else HEAP * block
