"""Are made pictures like real ones (precision), and is all that is real among them (recall)?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sfumato.evaluation.samples import require_samples

NEIGHBOURS = 3  # k (Kynkäänniemi et al. 2019, section 3.1)
ROWS = 1024  # of a matrix of distances that are there at a time


class Coverage(NamedTuple):
    """Shares from 0 to 1."""

    precision: float  # of made pictures that lie among the real ones
    recall: float  # of real pictures that lie among the made ones


def coverage(made: Float[Tensor, "n d"], real: Float[Tensor, "m d"], neighbours: int = NEIGHBOURS) -> Coverage:
    """Improved precision and recall (Kynkäänniemi et al. 2019, eqs. 1 and 2).

    A picture lies among others when it is within the distance of one of them to its k-th nearest neighbour.
    Both shares grow with the number of pictures: compare those of equally many only.
    Raises DataError for k pictures or fewer on a side.
    """
    a, b = require_samples("Precision and recall", neighbours + 1, made, real)
    among_real, among_made = _among(a, b, neighbours), _among(b, a, neighbours)
    return Coverage(among_real.double().mean().item(), among_made.double().mean().item())


def _among(points: Float[Tensor, "n d"], others: Float[Tensor, "m d"], neighbours: int) -> Bool[Tensor, " n"]:
    reach = torch.cat([_distances(rows, others).kthvalue(neighbours + 1).values for rows in others.split(ROWS)])
    return torch.cat([(_distances(rows, others) <= reach).any(1) for rows in points.split(ROWS)])


def _distances(a: Tensor, b: Tensor) -> Float[Tensor, "a b"]:
    # differences taken one by one: the quick way by products says of equal vectors that they are apart
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
