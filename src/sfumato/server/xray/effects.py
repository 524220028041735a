"""What each word does: the picture without it, or with another in its place, and where that differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from sfumato.pages.marks import section
from sfumato.server.xray.looks import FEW_PIXELS, uri

SIDE = 192  # pixels of a picture
MOST = 40  # words
APART = 0.1  # of the range of a colour, from which on a pixel counts as another

NOTE = (
    "The same seed and settings, one word less. In the difference, white is where the picture became another; the bar "
    "is the share of it that did."
)


@dataclass(frozen=True)
class Effect:
    """A picture made as another, but for one word.

    Attributes:
        word: which was taken away or replaced.
        picture: what was made so.
        instead: what stood in its place; nothing where it was taken away.
    """

    word: str
    picture: Image.Image
    instead: str = ""


def word_by_word(picture: Image.Image, found: Sequence[Effect]) -> str:
    """A section with each effect beside the picture that it is compared with."""
    few = " pixels" if max(picture.size) <= FEW_PIXELS else ""
    listed = "".join(_told(picture, effect) for effect in found[:MOST])
    return section("Word by word", f'<ul class="effects{few}">{listed}</ul>' if listed else "", note=NOTE)


def changed(one: Image.Image, other: Image.Image) -> np.ndarray:
    """How far each pixel (h, w) of two pictures of one size is from the other's, 0 to 1, by the channel most apart."""
    a, b = (np.asarray(picture.convert("RGB"), np.float32) / 255 for picture in (one, other))
    return np.asarray(np.abs(a - b).max(-1))


def _told(picture: Image.Image, effect: Effect) -> str:
    apart = changed(picture, effect.picture)
    share = float((apart > APART).mean())
    shown = Image.fromarray((apart * 255).astype(np.uint8))
    what = f"“{effect.instead}” for “{effect.word}”" if effect.instead else f"without “{effect.word}”"
    size = f'width="{picture.width}" height="{picture.height}"'
    return (
        f'<li><h3>{escape(what)}</h3><div class="pair">'
        f'<img src="{uri(effect.picture, SIDE)}" alt="The picture {escape(what)}" {size}>'
        f'<img src="{uri(shown, SIDE)}" alt="Where it differs" {size}></div>'
        f'<span class="bar"><span class="fill-1" style="width:{100 * share:.1f}%"></span></span>'
        f'<span class="number">{100 * share:.0f} % changed</span></li>'
    )
