"""Watermarks: the same lines at the same place in many different pictures.

Orientations of edges, averaged over unrelated pictures, cancel out; those of a mark that is laid over them stay (Dekel
et al. 2017, "On the effectiveness of visible watermarks"). The marks are learned from some pictures and looked for in
each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

SIDE = 96  # pixels a side to which whole pictures are brought
LEARNED = 512  # pictures from which marks are learned
FEWEST = 40  # pictures below which chance looks like marks
EDGE = 6.0  # levels a pixel from which on there is an edge
CHANCE = 12.0  # N x^2, where unrelated orientations in N pictures reach a mean of x in no pixel of the picture
PIXELS = 24  # of a mark, at least
ALIKE = 0.6  # how well the edges of a picture agree with those of a mark that it bears
CARRIERS = 5  # pictures that bear a mark, at least
OUTSIDE = 0.3  # of their edges lie elsewhere, or else they are one picture
MOST = 3  # marks

Edges = Float[np.ndarray, "2 s s"]


@dataclass(frozen=True)
class Mark:
    """Where a mark has lines, and how they run."""

    pixels: Bool[np.ndarray, "s s"]
    orientations: Edges

    def agreement(self, edges: Edges) -> float:
        """How well the edges of a picture agree with the mark: near 0 by chance, 1 wholly."""
        return float((edges * self.orientations).sum(0)[self.pixels].mean())


def edges_of(picture: Image.Image) -> Edges:
    """How the edge at each pixel runs, as the cosine and sine of twice its angle; 0 where there is none.

    Twice the angle is the same for light on dark and dark on light, since a mark lies over both.
    """
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    down, across = np.gradient(np.asarray(grey, np.float32))
    square = down**2 + across**2
    doubled = np.stack([across**2 - down**2, 2 * across * down])
    return np.where(square >= EDGE**2, doubled / np.maximum(square, 1e-6), 0).astype(np.float32)


def marks_in(several: Sequence[Edges]) -> list[Mark]:
    """The marks that many of some pictures bear, given by their edges; it may be none."""
    left, found = list(several), list[Mark]()
    while len(left) >= FEWEST and len(found) < MOST:
        mark = _consensus(left, math.sqrt(CHANCE / len(left)))
        bearers = _bearers(mark, left)
        if mark is None or len(bearers) < CARRIERS:
            break
        sharper = _consensus(bearers, ALIKE)
        bearers = _bearers(sharper, left)
        if sharper is None or len(bearers) < CARRIERS:
            break
        if _elsewhere(sharper, bearers) >= OUTSIDE:
            found.append(sharper)
        taken = {id(edges) for edges in bearers}
        left = [edges for edges in left if id(edges) not in taken]
    return found


def _consensus(several: Sequence[Edges], least: float) -> Mark | None:
    mean = np.mean(several, axis=0)
    strength = np.sqrt((mean**2).sum(0))
    pixels = strength >= least
    return Mark(pixels, mean / np.maximum(strength, 1e-6)) if pixels.sum() >= PIXELS else None


def _bearers(mark: Mark | None, several: Sequence[Edges]) -> list[Edges]:
    return [edges for edges in several if mark.agreement(edges) >= ALIKE] if mark else []


def _elsewhere(mark: Mark, bearers: Sequence[Edges]) -> float:
    """The share of the bearers' edges that are not at the mark, the median."""
    near = mark.pixels.copy()
    near[1:] |= mark.pixels[:-1]
    near[:-1] |= mark.pixels[1:]
    near[:, 1:] |= mark.pixels[:, :-1]
    near[:, :-1] |= mark.pixels[:, 1:]
    edges = [np.abs(one).sum(0) > 0 for one in bearers]
    return float(np.median([(one & ~near).sum() / max(1, one.sum()) for one in edges]))
