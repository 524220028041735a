"""What is painted on: the picture that is given, with room around it if it is to grow, and which part of it is free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image, ImageFilter
from torch import Tensor

from sfumato.data.pictures import fit, to_tensor
from sfumato.pipelines.request import Request
from sfumato.seeds import derived_seed

SEAM = 64  # of them to a side: how far into the kept part it fades, on each side of the middle of the seam
BLUR = 8  # of them to a side: how far what lies around is blurred
GRAIN = 0.1  # deviation of the noise there, where pictures are in [-1, 1]


@dataclass(frozen=True)
class Canvas:
    """What is painted on.

    Attributes:
        picture: in [-1, 1].
        free: 1 where it is painted anew, 0 where it stays.
    """

    picture: Float[Tensor, "3 h w"]
    free: Float[Tensor, "1 h w"]

    @property
    def soft(self) -> Float[Tensor, "1 h w"]:
        """How much is painted anew, fading from 1 to 0 within the part that stays."""
        seam = max(1, min(self.free.shape[1:]) // SEAM)
        wide = F.max_pool2d(F.pad(self.free[None], (seam,) * 4, mode="replicate"), 2 * seam + 1, 1)
        return F.avg_pool2d(F.pad(wide, (seam,) * 4, mode="replicate"), 2 * seam + 1, 1)[0]


def size_of_canvas(plan: Request) -> tuple[int, int]:
    """Width and height of the picture that is given, and of what it is extended by."""
    assert plan.picture is not None
    width, height = plan.picture.open().size
    left, top, right, bottom = plan.extend or (0, 0, 0, 0)
    return width + left + right, height + top + bottom


def canvas_of(plan: Request, width: int, height: int) -> Canvas:
    """The canvas of a request with a picture, at this size; where nothing says what stays, all is free."""
    assert plan.picture is not None
    if plan.extend is None:
        free = torch.ones(1, height, width) if plan.mask is None else plan.mask.marks(width, height)
        return Canvas(plan.picture.pixels(width, height), free)
    picture = plan.picture.open()
    left, top, right, bottom = plan.extend
    stays = torch.zeros(1, picture.height, picture.width)
    free = stays if plan.mask is None else plan.mask.marks(*picture.size)
    free = F.pad(free, (left, right, top, bottom), value=1.0)
    large = _surrounded(picture, plan.extend, plan.picture.sha256)
    if large.size != (width, height):
        free = F.interpolate(free[None], size=(height, width), mode="nearest")[0]
    return Canvas(to_tensor(fit(large, (width, height))), free)


def laid_over(plan: Request) -> Callable[[Float[Tensor, "b 3 h w"]], Float[Tensor, "b 3 h w"]] | None:
    """What lays the kept part of the given picture over pictures of any size; None where nothing is to be kept.

    A seam of a thirty-second of the shorter side lies in the kept part; beyond it the picture is as it was, to the bit.
    """
    if not plan.paste or plan.picture is None or (plan.mask is None and plan.extend is None):
        return None
    canvas = lru_cache(2)(lambda width, height: _with_seam(canvas_of(plan, width, height)))

    def lay(pictures: Tensor) -> Tensor:
        known, soft = canvas(pictures.shape[-1], pictures.shape[-2])
        known, soft = known.to(pictures), soft.to(pictures)
        return known + soft * (pictures - known)

    return lay


def _with_seam(canvas: Canvas) -> tuple[Tensor, Tensor]:
    return canvas.picture, canvas.soft


def _surrounded(picture: Image.Image, edges: tuple[int, int, int, int], digest: str) -> Image.Image:
    """The picture amid its blurred reflection with a little noise, which goes on as it does and says nothing more."""
    left, top, right, bottom = edges
    reflected = np.pad(np.asarray(picture), ((top, bottom), (left, right), (0, 0)), mode="symmetric")
    blurred = Image.fromarray(reflected).filter(ImageFilter.GaussianBlur(min(picture.size) / BLUR))
    generator = np.random.default_rng(derived_seed(digest, "extend"))
    grain = 127.5 * GRAIN * generator.standard_normal((*reflected.shape[:2], 1), dtype=np.float32)
    around = Image.fromarray((np.asarray(blurred) + grain).clip(0, 255).astype(np.uint8))
    around.paste(picture, (left, top))
    return around
