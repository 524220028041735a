"""How far apart are two sets of pictures, whatever their shape? Maximum mean discrepancies (Gretton et al. 2012)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.evaluation.samples import require_samples

SIGMA = 10.0  # of CMMD's kernel
THOUSANDS = 1000.0  # in which both are told
ROWS = 1024  # of a kernel matrix that are there at a time

Kernel = Callable[[Float[Tensor, "a d"], Float[Tensor, "b d"]], Float[Tensor, "a b"]]


def cmmd(made: Float[Tensor, "n d"], real: Float[Tensor, "m d"]) -> float:
    """1000 times the squared discrepancy of CLIP features under a Gaussian kernel of sigma 10.

    Features are brought to length 1 (Jayasumana et al. 2024, eq. 1 and section 4; all pairs count, as in the authors'
    program, so that it is never negative). Less biased by the number of pictures than a Fréchet distance.
    Raises DataError for fewer than 2 pictures on a side.
    """
    a, b = require_samples("CMMD", 2, made, real)
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    n, m = len(a), len(b)
    squared = _sum(_gaussian, a, a) / n**2 + _sum(_gaussian, b, b) / m**2 - 2 * _sum(_gaussian, a, b) / (n * m)
    return THOUSANDS * max(0.0, squared)


def kid(made: Float[Tensor, "n d"], real: Float[Tensor, "m d"]) -> float:
    """1000 times the unbiased squared discrepancy under the kernel (x.y / d + 1)^3, over all pairs at once.

    Bińkowski et al. 2018, section 4; its mean does not depend on the number of pictures, and it may be negative.
    Raises DataError for fewer than 2 pictures on a side.
    """
    a, b = require_samples("KID", 2, made, real)
    n, m = len(a), len(b)
    within_a = (_sum(_cubic, a, a) - _own(a)) / (n * (n - 1))
    within_b = (_sum(_cubic, b, b) - _own(b)) / (m * (m - 1))
    return THOUSANDS * (within_a + within_b - 2 * _sum(_cubic, a, b) / (n * m))


def _gaussian(a: Tensor, b: Tensor) -> Tensor:
    squared = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
    return (-squared / (2 * SIGMA**2)).exp()


def _cubic(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _own(features: Tensor) -> float:
    """The sum of the kernel of each vector with itself."""
    return ((features.square().sum(1) / features.shape[1] + 1) ** 3).sum().item()


def _sum(kernel: Kernel, a: Tensor, b: Tensor) -> float:
    return torch.stack([kernel(rows, b).sum() for rows in a.split(ROWS)]).sum().item()
