"""Pictures of any size enlarged tile by tile, in the memory of a row of tiles: seams fade, and noise has its place."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from sfumato.diffusion.noise import Noise
from sfumato.networks.tiles import faded
from sfumato.seeds import derived_seed

BLOCK = 64  # a side of the squares of noise that are drawn at a time


def enlarged_in_tiles(
    enlarge: Callable[[Float[Tensor, "3 h w"], int, int], Float[Tensor, "3 h2 w2"]],
    picture: UInt8[Tensor, "3 h w"],
    factor: int,
    tile: int,
    overlap: int,
) -> UInt8[Tensor, "3 h2 w2"]:
    """The picture `factor` times as large.

    Args:
        enlarge: gives a tile in [-1, 1], whose top and left edges are so many pixels from those of the picture,
            `factor` times as large.
        picture: 0..255.
        factor: at least 1.
        tile: most pixels a side that are enlarged at once.
        overlap: pixels by which neighbours overlap at least, above 0 and below `tile`.
    """
    height, width = picture.shape[1:]
    columns = faded(width, tile, overlap, overlap * factor)
    rows = faded(height, tile, overlap, overlap * factor)
    whole = torch.empty(3, height * factor, width * factor, dtype=torch.uint8)
    band = torch.zeros(3, min(tile, height) * factor, width * factor)
    ends = [*(top for top, _ in rows[1:]), height]
    for (top, down), end in zip(rows, ends, strict=True):
        for left, across in columns:
            part = picture[:, top : top + tile, left : left + tile].float() / 127.5 - 1
            made = enlarge(part, top, left).float().cpu() * down[:, None] * across
            band[..., left * factor : left * factor + made.shape[-1]] += made
        done = (end - top) * factor  # no later tile reaches so far up
        bytes_ = ((band[:, :done].clamp(-1, 1) + 1) * 127.5).round()
        whole[:, top * factor : end * factor] = bytes_.to(torch.uint8)
        band = torch.cat([band[:, done:], torch.zeros_like(band[:, :done])], dim=1)
    return whole


def noise_in_place(seed: int, top: int, left: int, width: int) -> Noise:
    """Noise for a tile, and for what is a whole number of times as large: the part that belongs there.

    Tiles that overlap have the same noise where they do, so that they show the same there. It is drawn on the CPU in
    squares, each from its own generator.

    Args:
        seed: of the picture.
        top, left: where the tile begins in it.
        width: of the tile, by which it is known how many times as large something is.
    """

    def noise(sample: Tensor) -> Tensor:
        times = sample.shape[-1] // width
        window = _window(seed, times, (top * times, left * times), (sample.shape[1], *sample.shape[-2:]))
        return window[None].to(sample)

    return noise


def _window(seed: int, times: int, start: tuple[int, int], shape: tuple[int, int, int]) -> Float[Tensor, "c h w"]:
    channels, height, width = shape
    (first, skipped_above), (begin, skipped_beside) = (divmod(edge, BLOCK) for edge in start)
    last, end = (start[0] + height - 1) // BLOCK, (start[1] + width - 1) // BLOCK
    blocks = torch.empty(channels, (last - first + 1) * BLOCK, (end - begin + 1) * BLOCK)
    for row, column in product(range(first, last + 1), range(begin, end + 1)):
        generator = Generator().manual_seed(derived_seed(seed, "tiles", times, row, column))
        block = torch.randn(channels, BLOCK, BLOCK, generator=generator)
        above, beside = (row - first) * BLOCK, (column - begin) * BLOCK
        blocks[:, above : above + BLOCK, beside : beside + BLOCK] = block
    return blocks[:, skipped_above : skipped_above + height, skipped_beside : skipped_beside + width]
