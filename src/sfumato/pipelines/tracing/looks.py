"""The attention that was seen in a whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16

from sfumato.pipelines.tracing.attention import Seen

Maps = Mapping[int, Mapping[str, Float16[np.ndarray, "groups words h w"]]]


@dataclass(frozen=True)
class Looks:
    """Where the layers of a denoiser looked.

    Attributes:
        maps: by step and layer, how probable each word was at each place; with the rest, such as the begin of the
            text and its padding, the words sum to 1.
        among: how much each place of a grid looked at each other one, over all steps, layers and heads; rows sum to 1.
            None where no layer has a grid that is small enough.
        grid: (height, width) of `among`.
    """

    maps: Maps
    among: Float16[np.ndarray, "n n"] | None
    grid: tuple[int, int] | None

    @classmethod
    def of(cls, maps: Maps, among: Seen) -> Looks:
        """Those of a run; of the grids the finest is kept."""
        if not among.among:
            return cls(maps, None, None)
        grid = max(among.among, key=lambda each: each[0] * each[1])
        mean = (among.among[grid] / among.counts[grid]).cpu().numpy().astype(np.float16)
        return cls(maps, mean, grid)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, in the network's order."""
        return tuple(dict.fromkeys(layer for step in self.maps.values() for layer in step))

    @property
    def groups(self) -> int:
        """How many groups of heads a layer has at least."""
        return min((len(each) for step in self.maps.values() for each in step.values()), default=0)
