"""Prompts in their places: how the regions of a request take part in one forward pass with all the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import Level
from sfumato.diffusion.mixing import Weight
from sfumato.diffusion.parameterisation import Denoise
from sfumato.diffusion.regions import alone_at_first
from sfumato.pipelines.attached import NEARLY, Span, depth
from sfumato.pipelines.condition import Condition
from sfumato.pipelines.regions import Region, maps, mask_of

ALONE = 0.25  # of the steps, in which a region sees nothing but itself


def with_regions(
    parts: list[Condition],
    shares: list[Weight],
    encode: Callable[[str, bool], Condition],
    regions: Sequence[Region],
    size: Sequence[int],
) -> tuple[list[Condition], list[Weight]]:
    """The conditions of regions, then those of the whole picture, and how much each counts at every place.

    Of each there is an estimate of the whole picture, and at every place they are averaged by how much they count there
    (MultiDiffusion, Bar-Tal et al. 2023, equation 5).

    Args:
        parts: of the whole picture.
        shares: of these; they share what regions leave.
        encode: gives what a text says to one sample, (text, whether it is what to go away from).
        regions: at least one.
        size: height and width of what is denoised.
    """
    height, width = size
    *theirs, rest = maps(regions, height, width)
    said = [parts[0].saying(encode(region.prompt, False)) for region in regions]
    left: list[Weight] = [torch.as_tensor(share, dtype=rest.dtype).reshape(-1, 1, 1, 1) * rest for share in shares]
    return [*said, *parts], [*theirs, *left]


def in_place(branches: Denoise, regions: Sequence[Region], around: Float[Tensor, "b c h w"], levels: Level) -> Denoise:
    """The branches of regions, the first of a batch, each of which sees itself alone in the first of the steps."""
    height, width = around.shape[-2:]
    masks = torch.stack([mask_of(region.box, height, width)[None] for region in regions])
    masks = (masks >= 0.5).double()  # two noises that fade into one another would be less than one
    last = levels[min(len(levels) - 1, math.ceil(ALONE * (len(levels) - 1)))]
    return alone_at_first(branches, masks, around, Span(math.inf, depth(last).item() * NEARLY).holds)
