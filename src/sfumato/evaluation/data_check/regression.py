"""Two kinds of rows told apart by a weighted sum: logistic regression, solved by Newton's steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

RIDGE = 1e-3  # keeps weights finite where the kinds can be parted wholly
STEPS = 30
FURTHEST = 6.0  # deviations from the median beyond which a feature says no more


def told_apart(
    features: Float[Tensor, "n f"], second: Bool[Tensor, " n"], used: Bool[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """For each row the logarithm of the odds that it is of the second kind, both counted as equally many.

    Only the rows `used` are learned from. Each feature is taken less its median over the first kind and by its median
    deviation, so that odd rows spoil nothing; besides itself it enters as what it falls below and rises above that
    median, squared.
    """
    every = _expanded(features.double(), features[used & ~second].double())
    x, y = every[used], second[used].double()
    weights = torch.where(second[used], 0.5 / max(1, int(y.sum())), 0.5 / max(1, int((1 - y).sum()))).double()
    beta = torch.zeros(x.shape[1], dtype=torch.float64)
    ridge = RIDGE * torch.eye(x.shape[1], dtype=torch.float64)
    ridge[0, 0] = 0
    for _ in range(STEPS):
        p = torch.sigmoid(x @ beta)
        gradient = x.T @ (weights * (p - y)) + ridge @ beta
        curvature = (x * (weights * p * (1 - p))[:, None]).T @ x + ridge + 1e-9 * torch.eye(len(beta)).double()
        step = torch.linalg.solve(curvature, gradient)
        beta = beta - step
        if float(step.abs().max()) < 1e-8:
            break
    return (every @ beta).float()


def _expanded(features: Float[Tensor, "n f"], usual: Float[Tensor, "m f"]) -> Float[Tensor, "n g"]:
    middle = usual.median(0).values
    spread = 1.4826 * (usual - middle).abs().median(0).values
    z = ((features - middle) / spread.clamp(min=1e-6)).clamp(-FURTHEST, FURTHEST)
    return torch.cat([torch.ones(len(z), 1, dtype=z.dtype), z, F.relu(z) ** 2, F.relu(-z) ** 2], 1)
