"""Small pictures as text: steps, noise and differences for the eye, and sheets of many attention maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image

from sfumato.server.encoding import address

TILE = 48  # pixels a side of a map in a sheet; a multiple of 16, so that the blocks of WebP do not mix two maps
ACROSS = 16  # maps in a row of a sheet
FEW_PIXELS = 96  # a side: such a picture is kept to the bit, and shown by its pixels
QUALITY = 82  # of WebP, 0 to 100
SPREAD = 3.0  # standard deviations of noise that reach black and white


def uri(picture: Image.Image, side: int) -> str:
    """A picture as a WebP of at most so many pixels a side, in the text of an address."""
    return address(picture, side, QUALITY, lossless=max(picture.size) <= FEW_PIXELS and _is_plain(picture))


def noise_picture(noise: Float[np.ndarray, "c h w"]) -> Image.Image:
    """The first three channels as red, green and blue, middle grey where there is none; one channel is grey."""
    shown = noise[:3] if len(noise) >= 3 else noise[:1].repeat(3, axis=0)
    light = 127.5 * (1 + np.nan_to_num(shown.astype(np.float32)) / SPREAD)
    return Image.fromarray(light.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def sheet(maps: Sequence[Float[np.ndarray, "h w"]]) -> str:
    """Maps of values from 0 to 1 side by side, `ACROSS` in a row, each of `TILE` pixels a side, as an address."""
    down = -(-len(maps) // ACROSS)
    whole = Image.new("L", (TILE * min(len(maps), ACROSS), TILE * down))
    for number, each in enumerate(maps):
        light = Image.fromarray((each * 255).clip(0, 255).astype(np.uint8))
        place = (number % ACROSS * TILE, number // ACROSS * TILE)
        whole.paste(light.resize((TILE, TILE), Image.Resampling.BILINEAR), place)
    return address(whole, max(whole.size), QUALITY)


def _is_plain(picture: Image.Image) -> bool:
    """Whether it has few colours, which edges between blocks would spoil; noise has many."""
    return picture.convert("RGB").getcolors(1024) is not None
