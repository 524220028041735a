"""Pictures too large to be coded at once: in tiles that overlap and fade into one another.

A tile knows nothing of what lies beyond it. Convolutions look a few places far, and what they would see there is in the
overlap, whose outer part is thrown away. But group normalisation takes its mean and spread from the tile, and the
attention in the middle looks at the tile alone, so the result is near that of the whole picture and not equal to it;
`docs/memory.md` says how near.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.networks.vae import Autoencoder, Posterior

TILE, OVERLAP = 64, 16  # places of the latent a side; at a factor of 8 tiles of 512 pixels
UNSEEN = 4  # a fourth of the overlap, at the tile's edge, is thrown away


def decode(
    autoencoder: Autoencoder, z: Float[Tensor, "b c h w"], tile: int = TILE, overlap: int = OVERLAP
) -> Float[Tensor, "b k h2 w2"]:
    """Gives the pictures for z tile by tile, as `Autoencoder.decode` does at once.

    Args:
        autoencoder: whose decoder is asked.
        z: in the scale of its training.
        tile: places a side of z that are decoded at once; all are where there are no more.
        overlap: places by which neighbours overlap at least, above 0 and below `tile`.
    """
    factor = autoencoder.factor
    return _tiled(autoencoder.decode, z, tile, overlap, lambda side: side * factor, 1)


def encode(
    autoencoder: Autoencoder, picture: Float[Tensor, "b c h w"], tile: int = TILE, overlap: int = OVERLAP
) -> Posterior:
    """Gives the distribution of z for pictures tile by tile, as `Autoencoder.encode` does at once.

    Args:
        autoencoder: whose encoder is asked.
        picture: in [-1, 1]; an edge that the factor does not divide is cut.
        tile, overlap: as in `decode`, in places of z.
    """
    factor = autoencoder.factor

    def moments(part: Tensor) -> Tensor:
        return torch.cat(autoencoder.encode(part), dim=1)

    mean, logvar = _tiled(moments, picture, tile, overlap, lambda side: side // factor, factor).chunk(2, dim=1)
    return Posterior(mean, logvar)


def starts(side: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along a side, spread evenly from one end to the other.

    Example:
        >>> starts(100, 64, 16), starts(64, 64, 16)
        ([0, 36], [0])
    """
    if side <= tile:
        return [0]
    count = math.ceil((side - overlap) / (tile - overlap))
    return [round(number * (side - tile) / (count - 1)) for number in range(count)]


def _tiled(
    change: Callable[[Tensor], Tensor],
    x: Float[Tensor, "b c h w"],
    tile: int,
    overlap: int,
    after: Callable[[int], int],
    unit: int,
) -> Float[Tensor, "b k h2 w2"]:
    """`change` in tiles; `after` gives a length of x afterwards, and a place of z is `unit` pixels of x."""
    if not 0 < overlap < tile:
        raise ValueError(f"an overlap lies between 0 and the tile's {tile} places, not {overlap}")
    sides = [side // unit for side in x.shape[-2:]]
    if max(sides) <= tile:
        return change(x)
    fade = after(overlap * unit)
    axes = [
        [(start * unit, min(tile, side) * unit, weights) for start, weights in faded(side, tile, overlap, fade)]
        for side in sides
    ]
    size = [after(side * unit) for side in sides]
    whole: Tensor | None = None
    for top, height, down in axes[0]:
        for left, width, across in axes[1]:
            part = change(x[..., top : top + height, left : left + width])
            if whole is None:
                whole = torch.zeros(*part.shape[:2], *size, device=part.device)  # summed in float32
            part = part * down.to(whole)[:, None] * across.to(whole)
            under, beside = after(top), after(left)
            whole[..., under : under + part.shape[-2], beside : beside + part.shape[-1]] += part
            del part  # before the next is made
    assert whole is not None
    return whole.to(x.dtype)


def faded(side: int, tile: int, overlap: int, fade: int) -> list[tuple[int, Float[Tensor, " n"]]]:
    """The starts of tiles along a side, and how much each counts at every place of the result; the sum is 1."""
    first = starts(side, tile, overlap)
    scale = fade / overlap
    length, total = round(min(tile, side) * scale), round(side * scale)
    unseen = fade / UNSEEN
    rise = ((torch.arange(length) + 0.5 - unseen) / (fade - 2 * unseen)).clamp(0, 1)
    shares, sums = [], torch.zeros(total)
    for start in first:
        share = torch.ones(length)
        if start > 0:
            share = share * rise
        if start + tile < side:
            share = share * rise.flip(0)
        shares.append(share)
        sums[round(start * scale) :][:length] += share
    return [(start, share / sums[round(start * scale) :][:length]) for start, share in zip(first, shares, strict=True)]
