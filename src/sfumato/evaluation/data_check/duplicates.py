"""Pictures that are the same, or nearly, or mirrored, found without comparing each with each.

Nearly the same is told by 16 x 16 pixels of the whole picture, without their mean and with their spread as unit. Along
a few directions two pictures are never further apart than they are in all; so pictures are put into the cells of a grid
along the four in which the set spreads most, and only those of neighbouring cells are compared. None is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

NEAR = 0.1  # root mean square of the difference, in units of the pictures' spread: a correlation of 0.995
LEAST_SPREAD = 8.0  # levels: what differs less over the picture cannot be told apart
DIRECTIONS, FIRST = 24, 4  # along which pairs are looked at in turn; those of the grid
LEARNED = 4096  # pictures from which the directions are found
AT_ONCE = 2**19  # pairs

Pairs = tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"], Float[np.ndarray, " p"]]


def same(digests: Sequence[bytes]) -> list[tuple[int, int]]:
    """Each number whose digest stood before, with the first one that had it."""
    first: dict[bytes, int] = {}
    return [(number, at) for number, digest in enumerate(digests) if (at := first.setdefault(digest, number)) != number]


def near(small: UInt8[np.ndarray, "n 16 16 3"], mirrored: bool = False) -> Iterator[tuple[int, int, float]]:
    """All pairs that are nearly the same, (first, second, distance), in any order: there may be too many to be kept.

    Those with hardly any contrast are left out. Distances are from 0 to 0.1. With `mirrored`, one of them is seen in a
    mirror; those that are nearly the same without one are left out then.
    """
    told, told_by = _rows(small)
    asked = _rows(small[:, :, ::-1])[0] if mirrored else told
    if len(told) < 2:
        return
    directions = _directions(told)
    seen, sought = told @ directions, asked @ directions
    radius = NEAR * np.sqrt(told.shape[1], dtype=np.float32)
    for some, others in _neighbours(seen[:, :FIRST], sought[:, :FIRST], radius):
        once = some < others
        some, others = some[once], others[once]
        close = np.linalg.norm(sought[some] - seen[others], axis=1) <= radius
        some, others = some[close], others[close]
        for start in range(0, len(some), 4096):
            a, b = some[start : start + 4096], others[start : start + 4096]
            distances = _apart(asked[a], told[b])
            hit = distances <= NEAR
            if mirrored:
                hit[hit] = _apart(told[a[hit]], told[b[hit]]) > NEAR
            yield from zip(told_by[a[hit]].tolist(), told_by[b[hit]].tolist(), distances[hit].tolist(), strict=True)


def _apart(some: Float[np.ndarray, "p d"], others: Float[np.ndarray, "p d"]) -> Float[np.ndarray, " p"]:
    return np.linalg.norm(some - others, axis=1) / np.sqrt(some.shape[1])


def grouped(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Numbers that hang together by pairs, each group in order, the groups by their first."""
    leader: dict[int, int] = {}

    def find(number: int) -> int:
        while (up := leader.setdefault(number, number)) != number:
            leader[number] = number = leader.setdefault(up, up)
        return number

    for a, b in pairs:
        one, other = sorted((find(a), find(b)))
        leader[other] = one
    groups: dict[int, list[int]] = {}
    for number in sorted(leader):
        groups.setdefault(find(number), []).append(number)
    return list(groups.values())


def _rows(small: UInt8[np.ndarray, "n 16 16 3"]) -> tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " m"]]:
    """The pictures that have contrast as rows of unit spread, and their numbers."""
    rows = small.reshape(len(small), -1).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    spread = np.sqrt((rows**2).mean(1))
    kept = np.flatnonzero(spread >= LEAST_SPREAD)
    return rows[kept] / spread[kept, None], kept


def _directions(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d k"]:
    """Orthogonal directions in which the rows spread most, the widest first."""
    some = rows[:: max(1, len(rows) // LEARNED)]
    _, vectors = np.linalg.eigh(np.cov(some, rowvar=False))
    return vectors[:, ::-1][:, :DIRECTIONS].astype(np.float32)


def _neighbours(
    seen: Float[np.ndarray, "n k"], sought: Float[np.ndarray, "n k"], radius: float
) -> Iterator[tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]]:
    """Pairs (one sought, one seen) that lie in neighbouring cells of a grid, some at a time."""
    low = np.minimum(seen.min(0), sought.min(0))
    cells, wanted = (np.floor((points - low) / radius).astype(np.int64) + 1 for points in (seen, sought))
    sides = np.maximum(cells.max(0), wanted.max(0)) + 2
    factors = np.concatenate([np.cumprod(sides[::-1])[-2::-1], [1]]).astype(np.int64)
    keys = cells @ factors
    order = np.argsort(keys, kind="stable")
    ranked, asked = keys[order], wanted @ factors
    for step in np.stack(np.meshgrid(*[(-1, 0, 1)] * cells.shape[1], indexing="ij"), -1).reshape(-1, cells.shape[1]):
        target = asked + int(step @ factors)
        first, last = np.searchsorted(ranked, target, "left"), np.searchsorted(ranked, target, "right")
        for start, end in _portions(last - first):
            counts = (last - first)[start:end]
            some = np.repeat(np.arange(start, end), counts)
            within = np.arange(len(some)) - np.repeat(np.cumsum(counts) - counts, counts)
            yield some, order[np.repeat(first[start:end], counts) + within]


def _portions(counts: Int[np.ndarray, " n"]) -> Iterator[tuple[int, int]]:
    """Stretches of about as many pairs as are looked at together."""
    sums = np.cumsum(counts)
    start = 0
    while start < len(counts) and sums[-1] > (before := sums[start - 1] if start else 0):
        end = max(start + 1, int(np.searchsorted(sums, before + AT_ONCE, "right")))
        yield start, end
        start = end
