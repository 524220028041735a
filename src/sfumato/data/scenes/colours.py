"""The colours that things and backgrounds may have, as words say them."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image, ImageColor, ImageDraw
from torch import Tensor

FINE = 1024  # pixels a side at which drawn backgrounds are drawn
MEAN_SHADE = 0.5  # where the mean of a thing's shading is brought
GAMMAS = (0.4, 3.0)  # how far shading may be bent for that: a bat is not as light as a sheep
LUMINANCE = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709


@dataclass(frozen=True)
class Tint:
    """A colour for things, from their darkest parts to their lightest.

    Args:
        shadow: The colour of outlines and eyes.
        body: The colour that the thing is said to have.
        light: The colour of highlights.
        synonyms: Other words for it.
    """

    shadow: str
    body: str
    light: str
    synonyms: tuple[str, ...] = ()


TINTS = {
    "red": Tint("#2a0303", "#e01f1f", "#ffc9c4", ("scarlet",)),
    "orange": Tint("#331300", "#f57c00", "#ffdcb0"),
    "yellow": Tint("#3a2b00", "#fad21a", "#fff7cc"),
    "green": Tint("#032208", "#2fa836", "#ccf2c8"),
    "blue": Tint("#030d33", "#2b62e3", "#c9dcff"),
    "purple": Tint("#1c0630", "#8a36c9", "#e6ccf7", ("violet",)),
    "pink": Tint("#3d0a24", "#f56fae", "#ffe0ee"),
    "brown": Tint("#1a0c04", "#84512c", "#e3c6ab"),
    "black": Tint("#000000", "#26262b", "#8d8d96"),
    "white": Tint("#3c3f47", "#f0f1f4", "#ffffff"),
}
"""The colours that things may have: two things of one shape are told apart by them."""


@functools.cache
def _ramps(device: torch.device) -> Float[Tensor, "tints stops 3"]:
    stops = [[ImageColor.getrgb(stop) for stop in (tint.shadow, tint.body, tint.light)] for tint in TINTS.values()]
    return torch.tensor(stops, dtype=torch.float32, device=device) / 255


def recolour(pixels: Float[Tensor, "n 4 h w"], tint: Int[Tensor, " n"]) -> Float[Tensor, "n 4 h w"]:
    """The same things in one colour each: luminance stays as shading, the hue is the tint's.

    The shading is bent so that its mean over the thing becomes the tint's body: a penguin and a sheep are as clearly
    blue as a cat is, and eyes, outlines and highlights remain darker and lighter than the rest.

    Args:
        pixels: Red, green, blue (not multiplied by alpha) and alpha, in [0, 1].
        tint: Its number in `TINTS`, for each thing.

    Returns:
        Pixels of the same alpha.
    """
    colour, alpha = pixels[:, :3], pixels[:, 3:]
    shade = (colour * colour.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True).clamp(1e-4, 1)
    seen = alpha.sum((2, 3), keepdim=True).clamp(min=1e-6)
    mean = ((shade * alpha).sum((2, 3), keepdim=True) / seen).clamp(1e-3, 0.999)
    shade = shade ** (math.log(MEAN_SHADE) / mean.log()).clamp(*GAMMAS)
    ramp = _ramps(pixels.device).to(pixels.dtype)[tint]
    shadow, body, light = ramp[:, :, :, None, None].unbind(1)  # each n 3 1 1
    tinted = torch.where(
        shade < MEAN_SHADE,
        torch.lerp(shadow, body, shade / MEAN_SHADE),
        torch.lerp(body, light, (shade - MEAN_SHADE) / (1 - MEAN_SHADE)),
    )
    return torch.cat([tinted, alpha], 1)


@dataclass(frozen=True)
class Background:
    """What things stand before.

    Args:
        colour: Its colour; of drawn ones the colour of most of it.
        draw: Draws it on a square canvas of `FINE` pixels that has this colour; None for plain ones.
        synonyms: Other words for it.
    """

    colour: str
    draw: Callable[[ImageDraw.ImageDraw], None] | None = None
    synonyms: tuple[str, ...] = ()


def _night_sky(canvas: ImageDraw.ImageDraw) -> None:
    _fade(canvas, "#0a1033", "#27316e", 0, FINE)
    rng = random.Random(7)
    for _ in range(90):
        x, y, r = rng.uniform(0, FINE), rng.uniform(0, FINE), rng.choice((3, 4, 5, 8))
        canvas.ellipse((x - r, y - r, x + r, y + r), fill="#f4efc4")


def _meadow(canvas: ImageDraw.ImageDraw) -> None:
    _fade(canvas, "#8fcdf2", "#d3edfb", 0, FINE // 2)
    canvas.ellipse((-0.4 * FINE, 0.42 * FINE, 0.8 * FINE, 1.6 * FINE), fill="#8ccb5e")
    canvas.ellipse((0.2 * FINE, 0.48 * FINE, 1.6 * FINE, 1.9 * FINE), fill="#74b84a")
    canvas.rectangle((0, 0.75 * FINE, FINE, FINE), fill="#74b84a")
    rng = random.Random(3)
    for _ in range(40):
        x, y = rng.uniform(0, FINE), rng.uniform(0.68, 0.98) * FINE
        canvas.ellipse((x - 9, y - 7, x + 9, y + 7), fill=rng.choice(("#f7f3d0", "#f2d95c", "#e9b6d8")))


def _beach(canvas: ImageDraw.ImageDraw) -> None:
    _fade(canvas, "#7fc6f0", "#c8e9fa", 0, int(0.4 * FINE))
    _fade(canvas, "#2f86bf", "#5cc0d4", int(0.4 * FINE), int(0.64 * FINE))
    canvas.rectangle((0, 0.64 * FINE, FINE, FINE), fill="#ecd6a0")
    canvas.ellipse((-0.3 * FINE, 0.56 * FINE, 1.3 * FINE, 0.72 * FINE), fill="#ecd6a0")


def _snow(canvas: ImageDraw.ImageDraw) -> None:
    _fade(canvas, "#a9bfd6", "#d5e1ec", 0, int(0.65 * FINE))
    canvas.ellipse((-0.5 * FINE, 0.56 * FINE, 0.9 * FINE, 1.4 * FINE), fill="#eef4f9")
    canvas.ellipse((0.1 * FINE, 0.62 * FINE, 1.7 * FINE, 1.5 * FINE), fill="#f8fbfd")
    canvas.rectangle((0, 0.85 * FINE, FINE, FINE), fill="#f8fbfd")
    rng = random.Random(11)
    for _ in range(80):
        x, y, r = rng.uniform(0, FINE), rng.uniform(0, 0.7) * FINE, rng.choice((5, 7, 9))
        canvas.ellipse((x - r, y - r, x + r, y + r), fill="#ffffff")


def _fade(canvas: ImageDraw.ImageDraw, above: str, below: str, top: int, bottom: int) -> None:
    """From one colour to the other between these rows."""
    ends = np.array([ImageColor.getrgb(above), ImageColor.getrgb(below)], float)
    for row in range(top, bottom):
        share = (row - top) / max(1, bottom - top - 1)
        red, green, blue = np.rint(ends[0] + share * (ends[1] - ends[0])).astype(int).tolist()
        canvas.line((0, row, FINE, row), fill=(red, green, blue))


BACKGROUNDS = {
    "white": Background("#ffffff"),
    "black": Background("#101014"),
    "grey": Background("#9c9ca3", synonyms=("gray",)),
    "red": Background("#e2574f"),
    "orange": Background("#f6a955"),
    "yellow": Background("#f7dd63"),
    "green": Background("#7fc078"),
    "blue": Background("#74a2e8"),
    "purple": Background("#a67fd4", synonyms=("violet",)),
    "pink": Background("#f4a6c8"),
    "brown": Background("#a17a58"),
    "turquoise": Background("#56c8c4", synonyms=("teal", "cyan")),
    "night sky": Background("#1a2354", _night_sky, ("starry sky",)),
    "meadow": Background("#74b84a", _meadow, ("grass field",)),
    "beach": Background("#ecd6a0", _beach, ("sandy beach",)),
    "snow": Background("#e6eef5", _snow, ("snowy landscape",)),
}
"""What scenes may stand before: plain colours, and four little landscapes."""


@functools.lru_cache(maxsize=16)
def backdrops(size: int, device: torch.device) -> Float[Tensor, "backgrounds 3 size size"]:
    """All backgrounds in their order, in [0, 1], the same picture at every size."""
    pictures = [
        np.asarray(_painted(background).resize((size, size), Image.Resampling.BOX))
        for background in BACKGROUNDS.values()
    ]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device, torch.float32) / 255


@functools.cache
def _painted(background: Background) -> Image.Image:
    picture = Image.new("RGB", (FINE, FINE), background.colour)
    if background.draw is not None:
        background.draw(ImageDraw.Draw(picture))
    return picture
