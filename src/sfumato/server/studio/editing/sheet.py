"""What lies on the table of the page Edit: a picture or an empty sheet, what is to change, and how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image, ImageOps

from sfumato.errors import PromptError
from sfumato.server.encoding import address
from sfumato.server.studio.editing.boxes import Boxes
from sfumato.server.studio.editing.mask import Mask

if TYPE_CHECKING:
    from sfumato.pipelines.text_to_image import Pipeline

Way = Literal["all", "part", "around", "places"]

WAYS: dict[Way, str] = {
    "all": "All of it",
    "part": "A part of it",
    "around": "Around it",
    "places": "Things in places",
}
"""What is to change, as the page calls it."""

TAKEN: dict[Way, str] = {"all": "strength", "part": "mask", "around": "extend", "places": "regions"}
"""The setting of a request without which a way cannot be gone."""

STRENGTHS: dict[Way, float] = {"all": 0.6, "part": 1.0, "places": 0.8}
"""How much of a picture changes at first."""

LONGEST = 4  # times the shorter side; a longer picture is cropped
AROUND = (128, 128, 128)  # what is not there yet
SMALL = 512  # pixels of the longer side up to which nothing of it is lost there
SHOWN = 1024  # pixels of the longer side in the browser


@dataclass
class Sheet:
    """What is being edited.

    Attributes:
        size: width and height in pixels, as the model paints them.
        unit: sides are multiples of so many pixels.
        model: the name of the model that paints.
        takes: the settings that it follows.
        picture: of this size; None for an empty sheet.
        source: the picture's address for the browser, as `shown` makes it; "" for an empty sheet.
        way: what is to change.
        strengths: how much of a picture changes, above 0 to 1, for each way that asks.
        mask: of the part that changes.
        extend: pixels added left, above, right and below.
        boxes: things in places.
    """

    size: tuple[int, int]
    unit: int
    model: str
    takes: frozenset[str]
    picture: Image.Image | None = None
    source: str = ""
    way: Way = "all"
    strengths: dict[Way, float] = field(default_factory=lambda: dict(STRENGTHS))
    extend: tuple[int, int, int, int] = (0, 0, 0, 0)
    boxes: Boxes = field(default_factory=Boxes)
    mask: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.mask = Mask(self.size)
        if self.way not in self.ways and self.ways:
            self.way = self.ways[0]

    @property
    def ways(self) -> tuple[Way, ...]:
        """What can be done with this model: on an empty sheet things are placed."""
        ways: tuple[Way, ...] = tuple(WAYS) if self.picture else ("places",)
        return tuple(way for way in ways if TAKEN[way] in self.takes)

    @property
    def whole(self) -> tuple[int, int]:
        """Width and height of what will be made."""
        left, top, right, bottom = self.extend if self.way == "around" else (0, 0, 0, 0)
        return self.size[0] + left + right, self.size[1] + top + bottom

    def extend_by(self, side: int, pixels: float | None) -> None:
        """Add pixels at a side (0 left, 1 above, 2 right, 3 below), as many as the model can paint next to so many."""
        sides = list(self.extend)
        sides[side] = round(max(0.0, pixels or 0.0) / self.unit) * self.unit
        self.extend = tuple(sides)  # type: ignore[assignment]

    def before(self) -> str:
        """The address of the picture where it will be in what is made; "" on an empty sheet. It may take a moment."""
        if self.picture is None or self.whole == self.size:
            return self.source
        around = Image.new("RGB", self.whole, AROUND)
        around.paste(self.picture, self.extend[:2])
        return shown(around)

    def settings(self) -> dict[str, Any]:
        """What is asked for besides the words, as `Pipeline.requests` takes it. PromptError says what is missing."""
        if self.way == "places":
            return self._placed()
        if self.picture is None:
            raise PromptError("Open a picture first, or place things on the empty sheet.")
        if self.way == "all":
            return {"picture": self.picture, "strength": self.strengths["all"]}
        if self.way == "around":
            if not any(self.extend):
                raise PromptError("Say at which side the picture is to grow.")
            return {"picture": self.picture, "extend": self.extend}
        if not self.mask.share:
            raise PromptError("Paint over the part that is to change, or add a rectangle by numbers.")
        return {"picture": self.picture, "mask": self.mask.image, "strength": self.strengths["part"]}

    def _placed(self) -> dict[str, Any]:
        if not self.boxes:
            raise PromptError("Draw a box where something is to be, or add one by numbers.")
        below = {"picture": self.picture, "strength": self.strengths["places"]} if self.picture else {}
        size = {} if self.picture else {"width": self.size[0], "height": self.size[1]}
        return {"regions": self.boxes.regions(), **below, **size}


def empty(pipeline: Pipeline, model: str) -> Sheet:
    """A sheet without a picture, of the size that the model was trained for."""
    side = pipeline.final_size
    return Sheet((side, side), unit_of(pipeline), model, pipeline.way.takes, way="places")


def laid_down(picture: Image.Image, pipeline: Pipeline, model: str) -> Sheet:
    """A sheet with a picture, brought to the size at which the model paints: its shorter side is the model's own."""
    size = fitting(picture.size, pipeline.final_size, None if pipeline.way.unit is None else unit_of(pipeline))
    fitted = picture if picture.size == size else ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    plain = fitted.convert("RGB")
    return Sheet(size, unit_of(pipeline), model, pipeline.way.takes, plain, shown(plain))


def fitting(size: tuple[int, int], side: int, unit: int | None) -> tuple[int, int]:
    """Width and height near a picture's shape, the shorter one `side`, both multiples of `unit`; a square without."""
    if unit is None:
        return side, side
    scale = side / min(size)
    width, height = (max(unit, round(min(edge * scale, LONGEST * side) / unit) * unit) for edge in size)
    return width, height


def unit_of(pipeline: Pipeline) -> int:
    """The sides of finished pictures are multiples of so many pixels."""
    return (pipeline.way.unit or pipeline.base_size) * (pipeline.final_size // pipeline.base_size)


def shown(picture: Image.Image) -> str:
    """The address of a picture, small enough for a browser to be told of it at once; it takes a moment to make."""
    return address(picture, SHOWN, 90, lossless=max(picture.size) <= SMALL)
