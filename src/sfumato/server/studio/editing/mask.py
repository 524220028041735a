"""What of a picture is to be painted anew, as strokes and rectangles make it, with steps back."""

from __future__ import annotations

import base64
import binascii
import io
from collections import deque
from collections.abc import Iterator

from PIL import Image, ImageChops, ImageDraw

from sfumato.data.pictures import PictureError, open_picture
from sfumato.errors import PromptError
from sfumato.server.studio.editing.boxes import Box

LARGEST_SIDE = 1024  # pixels of the mask; finer strokes than that nobody paints
MOST_BYTES = 2**19  # of a mask from the browser; strokes take some thousand
MOST_BACK = 30  # steps that can be undone
HEAD = "data:image/png;base64,"


class Mask:
    """White where the picture is painted anew, black where it stays; of the picture's shape.

    Args:
        size: width and height of the picture in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        scale = min(1.0, LARGEST_SIDE / max(size))
        self.size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        self._image = Image.new("L", self.size, 0)
        self._before: deque[bytes] = deque(maxlen=MOST_BACK)

    @property
    def image(self) -> Image.Image:
        """The mask, mode L."""
        return self._image.copy()

    @property
    def share(self) -> float:
        """Which share of the picture is painted anew, 0 to 1."""
        histogram = self._image.histogram()
        return sum(histogram[128:]) / (self.size[0] * self.size[1])

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._before)

    def paint(self, drawn: str) -> None:
        """Take over what the browser painted: a PNG of this size as a data address, opaque where it is painted anew.

        Raises PromptError for anything else.
        """
        self._change(_sent(drawn, self.size))

    def rectangle(self, box: Box, *, take_away: bool = False) -> None:
        """Add a rectangle, or take one away."""
        changed = self.image
        ImageDraw.Draw(changed).rectangle(_pixels(box, self.size), fill=0 if take_away else 255)
        self._change(changed)

    def clear(self) -> None:
        """Nothing is painted anew."""
        self._change(Image.new("L", self.size, 0))

    def turn_round(self) -> None:
        """What stayed is painted anew, and the other way round."""
        self._change(ImageChops.invert(self._image))

    def undo(self) -> None:
        """Take the last change back; harmless where there is none."""
        if self._before:
            with Image.open(io.BytesIO(self._before.pop())) as image:
                self._image = image.copy()

    def _change(self, image: Image.Image) -> None:
        self._before.append(_png(self._image))  # of some kilobytes; tabs keep theirs for long
        self._image = image

    @property
    def address(self) -> str:
        """For the browser: white, opaque where it is painted anew."""
        white = Image.new("RGBA", self.size, (255, 255, 255, 0))
        white.putalpha(self._image)
        return HEAD + base64.b64encode(_png(white)).decode("ascii")


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _sent(drawn: str, size: tuple[int, int]) -> Image.Image:
    refused = PromptError("What was painted did not arrive as a picture; paint it again.")
    if not isinstance(drawn, str) or not drawn.startswith(HEAD) or len(drawn) > MOST_BYTES * 4 // 3:
        raise refused
    try:
        content = base64.b64decode(drawn[len(HEAD) :], validate=True)
        # transparent parts become black, painted ones are white
        picture = open_picture(content, max_pixels=size[0] * size[1], background=(0, 0, 0))
    except (binascii.Error, PictureError):
        raise refused from None
    if picture.size != size:
        raise refused
    return picture.convert("L").point([255 * (value >= 128) for value in range(256)])


def _pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The first and the last pixels of a box, at least one each way."""

    def both(first: float, last: float, side: int) -> Iterator[int]:
        start = min(round(first * side), side - 1)
        yield start
        yield max(start, round(last * side) - 1)

    (left, right), (top, bottom) = both(box.left, box.right, size[0]), both(box.top, box.bottom, size[1])
    return left, top, right, bottom
