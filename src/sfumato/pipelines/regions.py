"""What is to be seen where: prompts of their own in boxes of a picture, and how much each counts at every place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.errors import PromptError
from sfumato.pipelines.hints import is_number, require_number

MOST_REGIONS = 16
SEAM = 1 / 16  # of a side, in which one prompt fades into another

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in parts of the sides, from 0 to 1, where 0 is left and above."""


@dataclass(frozen=True)
class Region:
    """A prompt for a box of the picture.

    Attributes:
        prompt: what is to be seen there.
        box: where.
        weight: how much it counts there, above 0, up to 10. Below 1 the prompt of the whole picture has the rest; where
            boxes overlap each has a share by its weight.
    """

    prompt: str
    box: Box
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Raises PromptError naming what is wrong."""
        if not isinstance(self.prompt, str):
            raise PromptError(f"The prompt of a region is a text, not {self.prompt!r:.100}.")
        box = self.box
        if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(is_number, box)):
            raise PromptError(f"The box of a region is left, top, right, bottom from 0 to 1, not {box!r:.100}.")
        left, top, right, bottom = box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise PromptError(f"The box of a region has 0 <= left < right <= 1, top and bottom likewise, not {box}.")
        object.__setattr__(self, "box", (left, top, right, bottom))
        require_number("weight of a region", self.weight, 0, 10)
        if not self.weight:
            raise PromptError("A region with a weight of 0 would do nothing.")


def regions_of(values: Any) -> tuple[Region, ...]:
    """The regions of a request, each a prompt, a box and if wanted a weight, or a table of them; else PromptError."""
    if not isinstance(values, list | tuple) or len(values) > MOST_REGIONS:
        raise PromptError(f"regions are a list of at most {MOST_REGIONS}, not {values!r:.100}.")
    return tuple(value if isinstance(value, Region) else _region(value) for value in values)


def maps(regions: Sequence[Region], height: int, width: int) -> list[Float[Tensor, "1 1 h w"]]:
    """How much each region counts at every place of a map, and last the prompt of the whole picture; they sum to 1."""
    masks = [region.weight * mask_of(region.box, height, width) for region in regions]
    total = torch.stack(masks).sum(0).clamp(min=1)
    parts = [mask / total for mask in masks]
    rest = (1 - torch.stack(parts).sum(0)).clamp(min=0)
    return [part[None, None] for part in (*parts, rest)]


def _region(value: Any) -> Region:
    known = [field.name for field in fields(Region)]
    if isinstance(value, Mapping) and {"prompt", "box"} <= set(value) <= set(known):
        return Region(**value)
    if isinstance(value, list | tuple) and len(value) in (2, 3):
        return Region(*value)
    raise PromptError(f"Each region is a prompt, a box and if wanted a weight, not {value!r:.100}.")


def mask_of(box: Box, height: int, width: int) -> Float[Tensor, "h w"]:
    """1 in a box, 0 around it, fading between them, but not where the box ends with the picture."""
    left, top, right, bottom = box
    return _ramp(top, bottom, height)[:, None] * _ramp(left, right, width)


def _ramp(first: float, last: float, places: int) -> Float[Tensor, " n"]:
    """1 between two places of a side, 0 elsewhere, half at them, unless they are its ends."""
    middles = (torch.arange(places, dtype=torch.float64) + 0.5) / places
    seam = max(SEAM, 1 / places)
    rise = (middles - first) / seam + 0.5 if first > 0 else torch.ones(places, dtype=torch.float64)
    fall = (last - middles) / seam + 0.5 if last < 1 else torch.ones(places, dtype=torch.float64)
    return torch.minimum(rise, fall).clamp(0, 1)
