"""Pictures from outside: bounded before they are decoded, and kept as nothing but pixels."""

from __future__ import annotations

import base64
import binascii
import re
import threading

from PIL import Image, ImageChops, ImageOps

from sfumato.data.pictures import PictureError, open_picture
from sfumato.server.errors import Refusal

_DATA_URL = re.compile(r"data:image/[\w.+-]{1,40};base64,")
MOST_PIXELS = 2**25  # of a picture from outside: more than cameras make, less than what fills the memory
AT_ONCE = threading.BoundedSemaphore(2)  # pictures that are decoded
_TOO_LARGE = "too large"  # how `open_picture` begins where a picture is


def bytes_of(text: str, param: str) -> bytes:
    """What stands in base64, with or without `data:image/png;base64,` before it; Refusal if it is none."""
    found = _DATA_URL.match(text)
    digits = "".join((text[found.end() :] if found else text).split())
    try:
        return base64.b64decode(digits, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, f"{param} is no picture in base64.", param, "invalid_base64") from None


def picture_of(content: bytes, param: str) -> Image.Image:
    """A picture file as RGB, upright, on white, and nothing else that was in the file.

    Args:
        content: of the file.
        param: the field that it came in.

    Raises:
        Refusal: 413 when it is too large, told before it is decoded; 400 when it is no picture.
    """
    return _opened(content, param, (255, 255, 255))


def transparency_of(content: bytes, param: str) -> Image.Image:
    """How transparent a picture is, light where it is: what OpenAI's masks want to have painted anew.

    On white and on black the same picture differs by what shines through. Raises Refusal as `picture_of` does.
    """
    return _apart(*_on_white_and_black(content, param))


def mask_of(content: bytes, param: str) -> Image.Image:
    """A mask as A1111 reads it: opaque parts of a picture that has others too, else light ones, are painted anew.

    Raises Refusal as `picture_of` does.
    """
    white, black = _on_white_and_black(content, param)
    transparency = _apart(white, black)
    return ImageOps.invert(transparency) if is_visible(transparency) else white.convert("L")


def is_visible(mask: Image.Image) -> bool:
    """Whether a mask marks anything."""
    return mask.getbbox() is not None


def _on_white_and_black(content: bytes, param: str) -> tuple[Image.Image, Image.Image]:
    return _opened(content, param, (255, 255, 255)), _opened(content, param, (0, 0, 0))


def _apart(white: Image.Image, black: Image.Image) -> Image.Image:
    return ImageChops.subtract(white, black).convert("L")


def _opened(content: bytes, param: str, background: tuple[int, int, int]) -> Image.Image:
    try:
        with AT_ONCE:
            return open_picture(content, max_pixels=MOST_PIXELS, background=background)
    except PictureError as error:
        large = str(error).startswith(_TOO_LARGE)
        code = "image_too_large" if large else "invalid_image"
        raise Refusal(413 if large else 400, f"{param} cannot be used: {error}.", param, code) from error
