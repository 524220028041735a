"""One dial: how wide and deep each network is at each size, where a recipe does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.errors import RecipeError

if TYPE_CHECKING:
    from sfumato.training.recipe import Size, Writing

Widths = dict[str, tuple[int, ...]]

# channels per resolution, finest first; the last one repeats
AUTOENCODER: Widths = {"tiny": (16, 32, 64), "small": (32, 64, 128), "base": (64, 128, 256), "large": (128, 256, 512)}
DENOISER: Widths = {"tiny": (64, 128), "small": (128, 256), "base": (192, 384, 576), "large": (320, 640, 1280)}
CAPTIONER: Widths = {"tiny": (48, 96, 128), "small": (64, 128, 256), "base": (96, 192, 384), "large": (128, 256, 512)}
UPSAMPLER: Widths = {"tiny": (24, 48), "small": (32, 64, 128), "base": (64, 128, 256), "large": (128, 256, 512)}
CLASSIFIER: Widths = {"tiny": (32, 64, 96), "small": (64, 96, 128), "base": (96, 192, 256), "large": (128, 256, 384)}
DENOISER_LAYERS = {"tiny": 1, "small": 1, "base": 2, "large": 2}
UPSAMPLER_LAYERS = {"tiny": 1, "small": 1, "base": 2, "large": 2}

# (width, layers) of a denoiser that is a transformer
TRANSFORMER = {"tiny": (256, 8), "small": (384, 10), "base": (640, 12), "large": (1024, 20)}

# those of the autoencoder of vectors
VECTORS: Widths = {
    "tiny": (16, 32, 48, 64),
    "small": (32, 64, 96, 128),
    "base": (64, 128, 192, 256),
    "large": (128, 256, 384, 512),
}

# (width, layers) of the denoiser of vectors
PRIOR = {"tiny": (384, 4), "small": (512, 6), "base": (1024, 8), "large": (1536, 12)}

# (width, layers) of the text encoder and of the image encoder
TEXT = {"tiny": (128, 2), "small": (256, 4), "base": (512, 8), "large": (768, 12)}
IMAGE = {"tiny": (128, 3), "small": (256, 6), "base": (512, 10), "large": (768, 12)}

# (width, layers, heads) of a network that writes
LANGUAGE = {"tiny": (128, 4, 4), "small": (384, 6, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}


def writing(name: str, plan: Writing, size: Size) -> tuple[int, int, int]:
    """Width, layers and heads of a network that writes, by its table `name` or by its size; RecipeError for misfits."""
    width, layers, heads = LANGUAGE[plan.size or size]
    width, layers, heads = plan.width or width, plan.layers or layers, plan.heads or heads
    if width % (2 * heads):
        raise RecipeError(f"{name}.width {width} is not shared evenly by {heads} heads of an even width")
    return width, layers, heads


def channels(table: Widths, size: Size, resolutions: int) -> tuple[int, ...]:
    """The widths of `resolutions` levels: those of the table, the last one repeated."""
    widths = table[size]
    return (*widths, *[widths[-1]] * resolutions)[:resolutions]


def resolutions(side: int, coarsest: int = 4, most: int = 4) -> int:
    """How many resolutions a U-Net has over maps of this side: halving stops at `coarsest`, at odd sides, at `most`."""
    count = 1
    while count < most and side % 2 == 0 and side // 2 >= coarsest:
        side //= 2
        count += 1
    return count
