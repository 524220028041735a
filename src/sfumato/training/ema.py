"""The running average of a network's weights, which is usually better than the last weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of a module's trainable parameters, in float32.

    The decay warms up as min(decay, (1 + n) / (10 + n)) after n updates, so that the first weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.live = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.values: dict[str, Tensor] = {name: p.detach().clone().float() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move toward the live weights after `step` optimiser steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), [p.float() for p in self.live.values()], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the module has the averaged weights; the live ones come back unchanged."""
        live = {name: p.detach().clone() for name, p in self.live.items()}
        _copy(self.values, self.live)
        try:
            yield
        finally:
            _copy(live, self.live)


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)
