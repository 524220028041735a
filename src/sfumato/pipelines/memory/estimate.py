"""What making pictures takes in memory, told before it is done and without reading a weight.

The model's networks are built on the meta device and the pictures are made there, by the code that makes them in
earnest; see `tracking.py`. `docs/memory.md` says how right it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sfumato.errors import PromptError
from sfumato.pipelines.memory.machines import machine_of
from sfumato.pipelines.memory.offloading import staged
from sfumato.pipelines.memory.tracking import Tracking
from sfumato.pipelines.model import Model
from sfumato.pipelines.ways.way import Painting

WAYS = ("latents", "pixels")  # that need nothing but shapes


@dataclass(frozen=True)
class Estimate:
    """What making pictures takes, in bytes.

    Attributes:
        device: where they are made.
        weights: of each part.
        resident: what of them is there while each part is at work; "" is between them.
        working: what else there is at the most, by part: states, pictures, what the machine needs besides.
    """

    device: torch.device
    weights: Mapping[str, int]
    resident: Mapping[str, int]
    working: Mapping[str, int]

    @property
    def peak(self) -> int:
        """The most there is at a time, without the program and its libraries."""
        return self.at(self.busiest)

    @property
    def busiest(self) -> str:
        """The part at whose work that is."""
        return max(self.working, key=self.at)

    def at(self, part: str) -> int:
        """The most there is while a part is at work."""
        return self.resident[part] + self.working[part]


def estimate(
    model: Model, make: Callable[[], Iterator[Painting]], device: torch.device, offload: str | None = None
) -> Estimate:
    """What a computation takes on a device that need not be there.

    Args:
        model: of networks on the meta device, as `without_memory` gives it.
        make: makes pictures with it.
        device: where they would be made.
        offload: a name in `offloading.OFFLOADS`, where weights wait on the CPU.

    Raises:
        PromptError: the model's way needs more than shapes.
    """
    if model.way not in WAYS:
        raise PromptError(f"What a model of the way {model.way} takes cannot be told in advance.")
    tracking = Tracking(model.parts, machine_of(device))
    with tracking.running(), warnings.catch_warnings(action="ignore"):
        for painting in make():
            last = painting
        last.pictures()
    weights = {name: _bytes(part) for name, part in model.parts.items()}
    resident = dict.fromkeys(("", *weights), sum(weights.values()))
    if offload and device.type != "cpu":
        resident = {"": 0, **{name: staged(part, offload) for name, part in model.parts.items()}}
    return Estimate(device, weights, resident, {name: tracking.peaks[name] for name in resident})


def without_memory(model: Model) -> Model:
    """The model once more, of the same shapes, on the meta device."""
    parts = {}
    for name, part in model.parts.items():
        with torch.device("meta"):
            twin = type(part)(part.config)
        parts[name] = twin.to(next(part.parameters()).dtype).eval().requires_grad_(False)
    return replace(model, parts=parts, device=torch.device("meta"))


def _bytes(part: nn.Module) -> int:
    """Of weights and tables; what has several names counts once."""
    tensors: dict[int, Tensor] = {id(each): each for each in (*part.parameters(), *part.buffers())}
    return sum(tensor.nbytes for tensor in tensors.values())
