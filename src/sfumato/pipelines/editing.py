"""What is asked of a picture that is given: begun with, painted into, extended; and how that is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfumato.errors import PromptError
from sfumato.pipelines.given import Given
from sfumato.pipelines.hints import require_number

if TYPE_CHECKING:
    from sfumato.pipelines.request import Request

EDITING = ("picture", "mask", "strength", "extend", "paste")
"""The settings that say what is done with a picture that is given."""

LARGEST_SIDE = 8192  # pixels


def settle_editing(request: Request) -> None:
    """Check the settings of `EDITING`, and bring them to the types that a request promises.

    Raises PromptError naming what is wrong, or would do nothing.
    """
    for name in ("picture", "mask"):
        if getattr(request, name) is not None:
            object.__setattr__(request, name, Given.of(getattr(request, name)))
    for name in ("mask", "strength", "extend"):
        if getattr(request, name) is not None and request.picture is None:
            raise PromptError(f"{name} does nothing without a picture.")
    if request.strength is not None:
        require_number("strength", request.strength, 0, 1)
        if request.strength == 0:
            raise PromptError("With a strength of 0 the picture would stay as it is.")
    if request.extend is not None:
        object.__setattr__(request, "extend", _edges(request.extend))
        if request.width is not None or request.height is not None:
            raise PromptError("extend says how large the picture becomes; leave width and height out.")
    if not isinstance(request.paste, bool):
        raise PromptError(f"paste is true or false, not {request.paste!r:.100}.")
    if not request.paste and request.mask is None and request.extend is None:
        raise PromptError("paste does nothing without a mask or extend: nothing is kept.")


def _edges(extend: Any) -> tuple[int, int, int, int]:
    message = f"extend is left, top, right, bottom: whole numbers of pixels from 0 to {LARGEST_SIDE}"
    whole = isinstance(extend, list | tuple) and len(extend) == 4
    if not whole or not all(isinstance(each, int) and not isinstance(each, bool) for each in extend):
        raise PromptError(f"{message}, not {extend!r:.100}.")
    left, top, right, bottom = extend
    if not all(0 <= each <= LARGEST_SIDE for each in extend) or not any(extend):
        raise PromptError(f"{message}, not all of them 0, not {extend!r:.100}.")
    return left, top, right, bottom
