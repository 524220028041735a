"""What every measure asks of the feature vectors that it is given."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sfumato.errors import DataError


def require_samples(measure: str, least: int, *sides: Float[Tensor, "_ d"]) -> list[Float[Tensor, "_ d"]]:
    """The same vectors in float64, on their device.

    Raises DataError naming the measure when a side has fewer than `least` rows, a number that is not finite, or
    another width than the first.
    """
    counts = [len(side) for side in sides]
    if min(counts) < least:
        raise DataError(
            f"{measure} needs at least {least} pictures on each side, not {' and '.join(map(str, counts))}."
        )
    if any(side.ndim != 2 or side.shape[1] != sides[0].shape[1] for side in sides):
        shapes = " and ".join(str(tuple(side.shape)) for side in sides)
        raise DataError(f"{measure} compares feature vectors of one network; these are of the shapes {shapes}.")
    if not all(side.isfinite().all() for side in sides):
        raise DataError(f"{measure} was given features that are not finite; are the pictures?")
    return [side.double() for side in sides]
