"""Multistep corrections: polynomials through the estimates of earlier steps, integrated exactly over the next one.

With r = alpha / sigma the clean estimates drive  d(noisy / sigma) = clean dr,  and with s = sigma / alpha the noise
estimates drive  d(noisy / alpha) = noise ds.  Adams and Bashforth's idea is to integrate the polynomial through the
estimate here (which alone gives Euler's step) and k earlier ones. The methods differ in what they extrapolate (clean
data or noise) and in the coordinate of the polynomial: s, or its logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sfumato.diffusion.levels import Level, lay_out

NODES, WEIGHTS = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(16))


class Before(NamedTuple):
    """An estimate (B, ...) that was made at an earlier level; a missing one stands at no level (NaN)."""

    level: Level
    value: Tensor


History = tuple[Before, ...]
"""Earlier estimates, the newest first; always as many as the solver uses."""


def recalled(memory: History | None, here: Level, value: Tensor, length: int) -> History:
    """The memory of a solver; all estimates are missing at the start."""
    return memory or (Before(nowhere(here), torch.zeros_like(value)),) * length


def nowhere(like: Level) -> Level:
    """No level, one for each of `like`: what is computed from it is not a number."""
    return Level(like.alpha * torch.nan, like.sigma * torch.nan)


def remembered(history: History, level: Level, value: Tensor) -> History:
    """The memory after a step; the oldest estimate is forgotten."""
    return (Before(level, value), *history)[: len(history)]


Weights = Callable[[Sequence[Tensor], Tensor, Tensor], list[Tensor]]
"""(places of other estimates, here, there) -> a weight for each estimate's difference from the one here."""


def integrals(density: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Weights:
    """The integrals from here to there of density(u, here, there) times the Lagrange polynomials over all places.

    Adams and Bashforth's weights for steps of any size (Hairer et al. 1993, section III.5), with exponential densities
    those of exponential integrators (Hochbruck & Ostermann 2010, section 2.5).

    Gauss and Legendre's rule with 16 points: exact for polynomials, and to 1e-8 for exponentials over a step of 20 in
    log SNR. Places are () or (B,) in float64; a weight is not finite where a place, or an end, is not.
    """

    def weights(places: Sequence[Tensor], here: Tensor, there: Tensor) -> list[Tensor]:
        u = here[..., None] + (there - here)[..., None] * (1 + NODES.to(here.device)) / 2
        mass = density(u, here[..., None], there[..., None]) * WEIGHTS.to(here.device)
        found = []
        for j, place in enumerate(places):
            others = [here, *places[:j], *places[j + 1 :]]
            basis = torch.ones_like(u)
            for other in others:
                basis = basis * (u - other[..., None]) / (place - other)[..., None]
            found.append((basis * mass).sum(-1) * (there - here) / 2)
        return found

    return weights


def correction(differences: Sequence[Tensor], candidates: Sequence[Sequence[Tensor]]) -> Tensor:
    """Per sample the last candidate whose weights are all finite, applied to the first differences; else 0.

    Candidates are lists of weights, () or (B,), of rising order.
    """
    total = torch.zeros_like(differences[0])
    for weights in candidates:
        finite = torch.stack([weight.isfinite() for weight in weights]).all(0)
        terms = [lay_out(w, d) * d for w, d in zip(weights, differences, strict=False)]
        total = torch.where(lay_out(finite, total).bool(), sum(terms[1:], terms[0]), total)
    return total
