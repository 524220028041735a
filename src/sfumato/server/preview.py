"""How a picture looks while it is made: decoded only when somebody looks, and not too often."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import torch

from sfumato.data.pictures import to_image
from sfumato.devices import on_threads

if TYPE_CHECKING:
    from PIL import Image

    from sfumato.pipelines.ways.way import Painting

PAUSE = 0.25  # seconds from one preview of a picture to the next, at least
SHARE = 4  # and so many times as long as the last one took


def picture_of(painting: Painting) -> Image.Image:
    """The one picture of a painting."""
    with on_threads(1), torch.inference_mode():
        return to_image(painting.pictures()[0])


class Preview:
    """The previews of one picture. Who asks again too soon, at whatever step, sees the last one once more."""

    def __init__(self) -> None:
        self._lock, self._again = threading.Lock(), 0.0
        self._shown: Image.Image | None = None
        self._of: Painting | None = None

    def of(self, painting: Painting) -> Image.Image:
        """How the picture looks, from any thread; where it must be decoded, the caller waits for that."""
        with self._lock:
            began = time.monotonic()
            if self._shown is None or (painting is not self._of and began >= self._again):
                self._shown, self._of = picture_of(painting), painting
                ended = time.monotonic()
                self._again = ended + max(PAUSE, SHARE * (ended - began))
            return self._shown
