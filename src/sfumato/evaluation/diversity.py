"""Do different seeds give different pictures of one prompt?"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.evaluation.samples import require_samples


class Diversity(NamedTuple):
    """Of pictures of the same prompts.

    Attributes:
        distance: the mean of 1 - cosine between the features of two pictures of one prompt, 0 to 2; 0 is the same
            picture again and again.
        different: how many pictures of a prompt are effectively different, from 1 to all of them (the Vendi score
            under the cosine kernel, Friedman & Dieng 2023, eq. 3), the mean over prompts.
    """

    distance: float
    different: float


def diversity(features: Float[Tensor, "prompts seeds d"]) -> Diversity:
    """How different the pictures of each prompt are; DataError for fewer than 2 seeds."""
    several = [_of_one(seeds) for seeds in features]
    distances, different = zip(*several, strict=True)
    return Diversity(sum(distances) / len(several), sum(different) / len(several))


def _of_one(features: Float[Tensor, "seeds d"]) -> tuple[float, float]:
    (rows,) = require_samples("Diversity over seeds", 2, features)
    rows, count = F.normalize(rows, dim=1), len(rows)
    cosines = rows @ rows.T
    apart = 1 - (cosines.sum() - cosines.trace()) / (count * (count - 1))
    shares = torch.linalg.eigvalsh(cosines / count).clamp(min=0)
    return apart.clamp(min=0).item(), torch.special.entr(shares).sum().exp().item()
