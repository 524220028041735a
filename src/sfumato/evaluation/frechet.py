"""How far apart are two sets of pictures, each seen as one Gaussian of features?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.evaluation.samples import require_samples


def frechet_distance(made: Float[Tensor, "n d"], real: Float[Tensor, "m d"]) -> float:
    """The squared Fréchet distance of two Gaussians that have the means and covariances of the features.

    |mu1 - mu2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2))  (Heusel et al. 2017, eq. 6; "FID" with the features of Inception).
    With square roots S = R^T R the last trace is the sum of the singular values of R1 R2^T, which is exact, real and
    needs no ridge on the diagonal where there are fewer pictures than dimensions.

    Small sets have larger distances: compare those of equally many pictures only.
    Raises DataError for fewer than 2 pictures on a side.
    """
    a, b = require_samples("A Fréchet distance", 2, made, real)
    root_a, root_b = _root(a), _root(b)
    overlap = torch.linalg.svdvals(root_a @ root_b.T).sum()
    spread = root_a.square().sum() + root_b.square().sum() - 2 * overlap
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return max(0.0, (apart + spread).item())  # rounding may leave a little less than nothing


def _root(features: Float[Tensor, "n d"]) -> Float[Tensor, "k d"]:
    """R with R^T R = the unbiased covariance, of at most d rows."""
    centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    rows, width = centred.shape
    return torch.linalg.qr(centred, mode="r").R if rows > width else centred
