"""Degradations: other ways than noise to take a picture away, little by little.

    (clean (B, C, H, W), severity (B,) or () in [0, 1]) -> degraded (B, C, H, W)

Severity 0 leaves the picture as it is, exactly; at severity 1 nothing of it is left but, at most, its mean colour. Each
is deterministic: what belongs to one picture, such as where its fade begins, is bound beforehand, so that one picture
is degraded along one path. Pictures are in [-1, 1]. After Bansal et al. 2022, "Cold diffusion", section 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.diffusion.levels import lay_out

Degradation = Callable[[Tensor, Tensor], Tensor]
"""(clean (B, C, H, W), severity () or (B,) in [0, 1]) -> degraded (B, C, H, W)."""


# --- blur -------------------------------------------------------------------------------------------------------------

WIDEST = 1.0  # standard deviation of the blur at severity 1, in sides of the picture: what is left is the mean colour
GROWTH = 5.0  # how much faster the deviation grows at the end than at the beginning, as the exponent of e


def blur(clean: Float[Tensor, "b c h w"], severity: Float[Tensor, "*b"]) -> Float[Tensor, "b c h w"]:
    """Gaussian blur whose width grows exponentially (Bansal et al. 2022, section 5.1), borders mirrored.

    Blur multiplies each cosine wave of frequency f by exp(-(f std)^2 / 2), which is the solution of the heat equation
    on the picture (Rissanen et al. 2022, eq. 8), and exact for any width.
    """
    height, width = clean.shape[-2:]
    growth = torch.expm1(GROWTH * severity.to(clean)) / math.expm1(GROWTH)
    std = lay_out(WIDEST * max(height, width) * growth, clean)
    rows, columns = cosines(height).to(clean), cosines(width).to(clean)
    waves = rows @ clean @ columns.T
    along = (torch.arange(side, device=clean.device).to(clean) * math.pi / side for side in (height, width))
    down, across = (frequency.square() for frequency in along)
    kept = (-(down[:, None] + across) * std.square() / 2).exp()
    blurred = rows.T @ (kept * waves) @ columns
    return torch.where(std == 0, clean, blurred)


@lru_cache(8)  # of a side's square each
def cosines(side: int) -> Float[Tensor, "f s"]:
    """The orthonormal cosine transform, DCT-II: a row per frequency (Ahmed, Natarajan & Rao 1974), in float32."""
    frequency, place = torch.arange(side, dtype=torch.float64)[:, None], torch.arange(side, dtype=torch.float64) + 0.5
    waves = (math.pi / side * frequency * place).cos() * (2 / side) ** 0.5
    waves[0] /= 2**0.5
    return waves.float()


# --- downsampling -----------------------------------------------------------------------------------------------------


def downsample(clean: Float[Tensor, "b c h w"], severity: Float[Tensor, "*b"]) -> Float[Tensor, "b c h w"]:
    """Blocks of ever more pixels become one colour, down to one block (Bansal et al. 2022, section 5.3).

    The side of a block doubles at severities 1/n, 2/n ... 1 of the n doublings; between two of them the pictures mix.
    """
    height, width = clean.shape[-2:]
    doublings = math.ceil(math.log2(max(height, width, 2)))
    place = lay_out(severity, clean) * doublings
    degraded = (1 - place).clamp(min=0) * clean
    for doubling in range(1, doublings + 1):
        grid = (math.ceil(height / 2**doubling), math.ceil(width / 2**doubling))
        blocks = F.interpolate(F.adaptive_avg_pool2d(clean, grid), size=(height, width), mode="nearest")
        degraded = degraded + (1 - (place - doubling).abs()).clamp(min=0) * blocks
    return degraded


# --- JPEG -------------------------------------------------------------------------------------------------------------

# the quantisation steps of quality 50 (ITU-T T.81, annex K, tables K.1 and K.2), row by row
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
BLOCK = 8  # pixels a side
COARSEST = 200.0  # times those steps at severity 1: every coefficient is rounded to 0
COARSENING = 6.0  # how much faster the steps grow at the end than at the beginning, as the exponent of e

# red, green, blue -> luminance, blueness, redness, all centred on 0 (JFIF 1.02)
YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)


def jpeg_severity(quality: float) -> float:
    """The severity of `jpeg` that has the steps of a quality in (0, 100], as the Independent JPEG Group scales them."""
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    return math.log1p(scale / COARSEST * math.expm1(COARSENING)) / COARSENING


def jpeg(clean: Float[Tensor, "b 3 h w"], severity: Float[Tensor, "*b"]) -> Float[Tensor, "b 3 h w"]:
    """What JPEG's rounding leaves: quality 100 at severity 0, below 1 at 0.8, and one grey at 1 (`jpeg_severity`).

    Blocks of 8 x 8 cosine waves are rounded to multiples of the steps of ITU-T T.81 (1992), annex K; colours are not
    subsampled. The steps grow exponentially, and are not rounded themselves, so that severity 0 is exact.
    """
    height, width = clean.shape[-2:]
    scale = COARSEST * torch.expm1(COARSENING * severity.to(clean)) / math.expm1(COARSENING)
    scale = lay_out(scale, clean)[..., None, None]
    colours, waves = clean.new_tensor(YCBCR), cosines(BLOCK).to(clean)
    padded = F.pad(127.5 * clean - 0.5, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")  # -128 .. 127
    luma = torch.einsum("kc,bchw->bkhw", colours, padded)
    blocks = luma.unflatten(-1, (-1, BLOCK)).unflatten(-3, (-1, BLOCK)).transpose(-3, -2)  # (b, 3, y, x, 8, 8)
    coefficients = waves @ blocks @ waves.T
    steps = clean.new_tensor([LUMINANCE, CHROMINANCE, CHROMINANCE])[:, None, None] * scale
    rounded = (coefficients / steps.clamp(min=1e-9)).round() * steps
    again = (waves.T @ rounded @ waves).transpose(-3, -2).flatten(-4, -3).flatten(-2)
    picture = torch.einsum("ck,bkhw->bchw", torch.linalg.inv(colours), again)[..., :height, :width]
    degraded = ((picture + 0.5) / 127.5).clamp(-1, 1)
    return torch.where(lay_out(severity, clean) == 0, clean, degraded)


# --- things in front of the picture -----------------------------------------------------------------------------------


def covered(order: Float[Tensor, "b 1 h w"], layers: int, colour: float = 0.0) -> Degradation:
    """Layers of something opaque, such as lines of text, laid over the picture one after the other.

    Args:
        order: for each pixel the number of the first layer that covers it, from 0; `layers` - 1 covers the rest.
        layers: how many. A layer becomes opaque while the severity passes its share: the first one from 0 to
            1 / layers.
        colour: of the layers, in [-1, 1].
    """

    def degrade(clean: Tensor, severity: Tensor) -> Tensor:
        hidden = (lay_out(severity, clean) * layers - order.to(clean)).clamp(0, 1)
        return torch.lerp(clean, clean.new_tensor(colour), hidden)

    return degrade


def fade(centre: Float[Tensor, "b 2"], reach: float = 0.3, colour: float = 0.0) -> Degradation:
    """A soft hole that grows from a point until the picture is gone (Bansal et al. 2022, section 5.2).

    Args:
        centre: where it begins, (down, across) in sides of the picture.
        reach: how far it spreads at first, in sides of the picture.
        colour: of the hole, in [-1, 1].

    It covers severity^(1 + (distance / reach)^2) of a pixel: a Gaussian around the centre at every severity, nothing at
    severity 0, all at 1.
    """

    def degrade(clean: Tensor, severity: Tensor) -> Tensor:
        place = centre.to(clean)
        down, across = ((torch.arange(side, device=clean.device) + 0.5) / side for side in clean.shape[-2:])
        distances = (down[:, None] - place[:, :1, None]).square() + (across - place[:, 1:, None]).square()
        hidden = lay_out(severity, clean) ** (1 + distances[:, None] / reach**2)
        return torch.lerp(clean, clean.new_tensor(colour), hidden)

    return degrade
