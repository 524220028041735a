"""Boxes on a picture, with words in them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sfumato.errors import PromptError

MOST = 16  # boxes; as many as a request takes
SMALLEST = 0.02  # of a side; what is smaller was a click
LONGEST = 1000  # characters of a box's words


@dataclass(frozen=True)
class Box:
    """A box in parts of the picture's sides: 0 is left or above, 1 is right or below.

    Attributes:
        left, top, right, bottom: where it is.
        words: what is to be seen in it.
    """

    left: float
    top: float
    right: float
    bottom: float
    words: str = ""

    def __post_init__(self) -> None:
        """Raises PromptError when it is no box inside the picture."""
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise PromptError("A box has its left before its right, its top above its bottom, all from 0 to 100 %.")

    @property
    def place(self) -> str:
        """Where it is, for people: in percent."""
        left, top, right, bottom = (round(100 * side) for side in (self.left, self.top, self.right, self.bottom))
        return f"from {left} % to {right} % across, {top} % to {bottom} % down"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def box_from(values: Any) -> Box:
    """A box that the browser drew, whatever it sent: sides in order, inside the picture, not too small; PromptError."""
    refused = PromptError("What was drawn did not arrive as a box; draw it again.")
    if not isinstance(values, Mapping):
        raise refused
    sides = [values.get(name) for name in ("left", "top", "right", "bottom")]
    if not all(map(_is_number, sides)):
        raise refused
    words = values.get("words", "")
    if not isinstance(words, str) or len(words) > LONGEST:
        raise refused
    left, top, right, bottom = map(float, sides)  # type: ignore[arg-type]
    return _box(left, top, right, bottom, words)


def percent(corners: Sequence[Any], words: str = "") -> Box:
    """A box by numbers in percent, as typed; PromptError names what is missing."""
    sides = []
    for name, value in zip(("Left", "Top", "Right", "Bottom"), corners, strict=True):
        if not _is_number(value) or not 0 <= value <= 100:
            raise PromptError(f"{name}: a number from 0 to 100, in percent of the picture.")
        sides.append(value / 100)
    left, top, right, bottom = sides
    return Box(left, top, right, bottom, words)


class Boxes(Sequence[Box]):
    """Several boxes, in the order in which they were made."""

    def __init__(self, boxes: Sequence[Box] = ()) -> None:
        self._boxes = list(boxes)[:MOST]

    def __len__(self) -> int:
        return len(self._boxes)

    def __getitem__(self, number: Any) -> Any:
        return self._boxes[number]

    def __iter__(self) -> Iterator[Box]:
        return iter(list(self._boxes))

    def add(self, box: Box) -> int:
        """One more; its number. PromptError when there are too many."""
        if len(self._boxes) == MOST:
            raise PromptError(f"{MOST} boxes are the most that a picture takes.")
        self._boxes.append(box)
        return len(self._boxes) - 1

    def put(self, number: int, box: Box) -> None:
        """Another in the place of one; harmless where that is gone already."""
        if 0 <= number < len(self._boxes):
            self._boxes[number] = box

    def say(self, number: int, words: str) -> None:
        """Other words in a box."""
        if 0 <= number < len(self._boxes):
            self._boxes[number] = replace(self._boxes[number], words=words[:LONGEST])

    def remove(self, number: int) -> None:
        """One less; harmless where it is gone already."""
        if 0 <= number < len(self._boxes):
            del self._boxes[number]

    def regions(self) -> tuple[tuple[str, tuple[float, float, float, float]], ...]:
        """As a request takes them; PromptError when one has no words."""
        for number, box in enumerate(self._boxes, 1):
            if not box.words.strip():
                raise PromptError(f"Box {number} has no words: say what is to be seen in it, or remove it.")
        return tuple((box.words.strip(), (box.left, box.top, box.right, box.bottom)) for box in self._boxes)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _box(left: float, top: float, right: float, bottom: float, words: str) -> Box:
    """A box whose corners may lie in any order and outside, made as large as can be seen."""
    left, right = _ordered(left, right)
    top, bottom = _ordered(top, bottom)
    return Box(left, top, right, bottom, words)


def _ordered(one: float, other: float) -> tuple[float, float]:
    first, last = sorted(round(min(max(side, 0.0), 1.0), 4) for side in (one, other))
    if last - first < SMALLEST:
        first = min(first, 1 - SMALLEST)
        last = round(first + SMALLEST, 4)
    return first, last
