"""What an eye tells of a picture."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sfumato.evaluation.seeing.looks import Look


@dataclass(frozen=True, eq=False)
class Found:
    """A thing that was seen.

    Args:
        look: The concept, tint and way up that explain it best.
        x, y: Its middle, in picture sides.
        size: Its longer side, in picture sides.
        quality: The share of what it changes in the picture that is right, at most 1.
        readings: All looks that explain it about as well, the best first.
        cover: How much of each pixel it covers, if nothing were in front of it.
    """

    look: Look
    x: float
    y: float
    size: float
    quality: float
    readings: tuple[Look, ...]
    cover: Float[Tensor, "s s"]


@dataclass(frozen=True, eq=False)
class Sight:
    """What was seen in a picture.

    Args:
        background: Its background, one of `BACKGROUNDS`.
        things: Its things, from the back to the front.
        unexplained: The share of the picture, 0 to 1, that is like nothing known.
    """

    background: str
    things: tuple[Found, ...]
    unexplained: float
