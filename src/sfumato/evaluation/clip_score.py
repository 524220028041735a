"""Does a picture fit its words? CLIP's opinion."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.evaluation.samples import require_samples

WEIGHT = 2.5  # w (Hessel et al. 2021, eq. 1): stretches what CLIP gives to about 0 to 1


def clip_scores(pictures: Float[Tensor, "n p"], texts: Float[Tensor, "n p"]) -> Float[Tensor, " n"]:
    """CLIPScore of each picture with its own text: 2.5 max(cos, 0), 0 to 2.5 (Hessel et al. 2021, eq. 1).

    Others tell 100 cos, which is 40 times as much. Both are features of one CLIP, of any length.
    Raises DataError when they are not equally many, or not of one width.
    """
    a, b = require_samples("CLIPScore", max(1, len(pictures), len(texts)), pictures, texts)
    return WEIGHT * F.cosine_similarity(a, b).clamp(min=0)
