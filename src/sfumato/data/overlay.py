"""Words written over one another until nothing of the paper is left."""

from __future__ import annotations

import random
import string
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

HEIGHTS = (0.2, 0.4)  # of the letters, in sides of the sheet
LETTERS = (2, 6)  # in a word


@cache
def sheets(count: int, size: int, layers: int, seed: int = 0) -> Float[Tensor, "n 1 size size"]:
    """Sheets of random words: for each pixel the number of the first layer that covers it.

    Args:
        count: how many sheets, each its own.
        size: pixels a side.
        layers: a layer is one word in a random place; the last one covers what is still free.
        seed: other seeds, other words.

    Returns:
        Numbers 0 .. layers - 1.
    """
    chance = random.Random(seed)
    low, high = (max(5, round(share * size)) for share in HEIGHTS)
    fonts = {height: ImageFont.load_default(height) for height in range(low, high + 1)}
    orders = np.full((count, 1, size, size), layers - 1, np.float32)
    for order in orders[:, 0]:
        for layer in reversed(range(layers - 1)):  # an earlier layer has the last word
            order[_word(chance, size, fonts)] = layer
    return torch.from_numpy(orders)


def _word(
    chance: random.Random, size: int, fonts: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont]
) -> np.ndarray:
    """Which pixels a random word covers, (size, size)."""
    height = chance.choice(list(fonts))
    text = "".join(chance.choices(string.ascii_letters, k=chance.randint(*LETTERS)))
    sheet = Image.new("L", (size, size))
    place = (chance.uniform(-0.3, 0.8) * size, chance.uniform(-0.2, 1) * size - height / 2)
    ImageDraw.Draw(sheet).text(place, text, fill=255, font=fonts[height])
    return np.asarray(sheet) > 127
