"""More like these: what is asked for when a person picks the better pictures and wants to see others near them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sfumato.pipelines.given import Given
from sfumato.pipelines.request import Request
from sfumato.server.studio.pictures import Picture

AT_ONCE = 4  # variations in a round
LEAST_STRENGTH = 0.3  # below it a picture comes out as it went in


def near(pictures: Sequence[Picture], amount: float, count: int = AT_ONCE) -> list[Request]:
    """Requests whose pictures are like the given ones: as many of each, together at least `count`.

    Args:
        pictures: the better ones.
        amount: how far the new ones lie away, from above 0, almost the same, to 1, another picture altogether.
        count: how many are wanted.

    Raises PromptError when this version does not understand what a picture was made from.
    """
    each = -(-count // len(pictures))
    return [_beside(picture, amount) for picture in pictures for _ in range(each)]


def _beside(picture: Picture, amount: float) -> Request:
    """A picture near one: its noise is turned a little to that of another seed.

    The noise of a variation is a mixture already, and has no seed that could be turned again: the picture itself is
    what the next one begins with then.
    """
    request, other = picture.request, secrets.randbits(32)
    if not request.variation:
        return replace(request, variation=amount, variation_seed=other)
    strength = LEAST_STRENGTH + (1 - LEAST_STRENGTH) * amount
    given: dict[str, Any] = {"picture": Given.of(picture.path), "mask": None, "extend": None, "strength": strength}
    return replace(request, seed=other, variation=0.0, variation_seed=None, **given)
