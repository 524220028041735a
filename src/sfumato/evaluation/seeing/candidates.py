"""What in a picture is not explained yet, and which looks at which places may explain it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sfumato.evaluation.seeing.windows import Boxes

LEAST_SCORE = 2.0  # squared error that a candidate takes away, in pixels
LEAST_SHARE = 0.35  # of what a thing changes is right, when it is found
DIFFERENT = 0.003  # squared error, of a mean of nine pixels, from which on something is there


@dataclass(frozen=True)
class Effort:
    """How hard it is looked for more.

    Args:
        looks: Taken from each window.
        alike: Candidates at about the same place.
        most: Candidates in a picture.
        share: Of what a thing changes must be right.
    """

    looks: int
    alike: int
    most: int
    share: float


SHORT = Effort(looks=4, alike=4, most=24, share=0.6)
LONG = Effort(looks=8, alike=12, most=64, share=LEAST_SHARE)


def different(pictures: Tensor, painted: Tensor, least: Tensor | float) -> Bool[Tensor, "n 1 s s"]:
    """Where something is that is not painted."""
    return _smooth_error(pictures, painted) > least


def noise(pictures: Tensor, grounds: Tensor) -> Float[Tensor, "n 1 1 1"]:
    """From which error on something is there: well above that of the better half of the pixels."""
    usual = _smooth_error(pictures, grounds).flatten(1).quantile(0.3, dim=1)
    return (8 * usual).clamp(DIFFERENT, 8 * DIFFERENT)[:, None, None, None]


def _smooth_error(pictures: Tensor, painted: Tensor) -> Float[Tensor, "n 1 s s"]:
    mean = F.avg_pool2d(pictures - painted, 3, 1, 1, count_include_pad=False)
    return mean.square().sum(1, keepdim=True)


def likeliest(
    gain: Float[Tensor, "k looks"], there: Float[Tensor, "k 1"]
) -> tuple[Float[Tensor, "k n"], Int[Tensor, "k n"]]:
    """How well the likeliest looks explain some windows, the best first, and which those are.

    Args:
        gain: How much squared error each look would take away in each window.
        there: How much there is.
    """
    most, look = gain.topk(min(LONG.looks, gain.shape[1]))
    return most * (most / there.clamp_min(1e-3)).clamp(0, 1), look


@dataclass(frozen=True)
class Ranked:
    """Windows, and the looks that may be there.

    Args:
        which: The number of each window's picture.
        boxes: The windows.
        score: How well the likeliest looks explain each window, the best first.
        look: Their numbers.
    """

    which: Int[Tensor, " k"]
    boxes: Boxes
    score: Float[Tensor, "k n"]
    look: Int[Tensor, "k n"]

    def thinned(self, effort: Effort) -> tuple[Int[Tensor, " c"], Boxes, Int[Tensor, " c"]]:
        """The likeliest candidates of each picture, at most `effort.alike` of them at about the same place.

        Returns:
            The candidates' pictures, boxes and looks.
        """
        score, look = self.score[:, : effort.looks], self.look[:, : effort.looks]
        flat, looks, each = score.flatten(), look.flatten(), look.shape[1]
        pictures = self.which.repeat_interleave(each)
        chosen = []
        for picture in self.which.unique():
            index = ((pictures == picture) & (flat > LEAST_SCORE)).nonzero()[:, 0]
            index = index[flat[index].topk(min(12 * effort.most, len(index))).indices]
            kept = _apart(self.boxes[index // each], looks[index], effort)
            chosen.append(index[kept])
        index = torch.cat(chosen) if chosen else self.which[:0]
        return self.which[index // each], self.boxes[index // each], looks[index]


def _apart(boxes: Boxes, looks: Int[Tensor, " n"], effort: Effort) -> list[int]:
    """Which candidates to keep, the best first: not the same look twice at one place, nor too many there."""
    middles, sizes = boxes[:, :2], boxes[:, 2]
    apart = (middles[:, None] - middles).abs().amax(2)
    ratio = sizes[:, None] / sizes
    near = (apart < 0.3 * torch.minimum(sizes[:, None], sizes)) & (ratio > 0.7) & (ratio < 1 / 0.7)
    again = (near & (looks[:, None] == looks)).cpu().numpy()
    close = near.cpu().numpy()
    kept: list[int] = []
    for n in range(len(boxes)):
        if close[n, kept].sum() < effort.alike and not again[n, kept].any():
            kept.append(n)
            if len(kept) == effort.most:
                break
    return kept
