"""The ways of several latents in one plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def plane(ways: Sequence[Float[np.ndarray, "points values"]]) -> Float[np.ndarray, "ways points 2"]:
    """The ways seen along the two directions in which their points differ most, about their common mean.

    Principal components (Pearson 1901), by the points' products with one another: there are far fewer of them than of
    values. The sign of a direction is such that the first way ends on its positive side.
    """
    points = np.concatenate([np.asarray(way, np.float64) for way in ways])
    points -= points.mean(0)
    variances, axes = np.linalg.eigh(points @ points.T)  # in rising order
    seen = axes[:, :-3:-1] * np.sqrt(np.maximum(variances[:-3:-1], 0))
    if seen.shape[1] < 2:
        seen = np.pad(seen, ((0, 0), (0, 2 - seen.shape[1])))
    seen = seen.reshape(len(ways), -1, 2)
    return seen * np.where(seen[0, -1] < 0, -1.0, 1.0)
