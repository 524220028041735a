"""Any picture made larger: by what a model has for it, tile by tile, or else by plain interpolation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from sfumato.data.pictures import from_images, to_image
from sfumato.diffusion.sampling import last
from sfumato.errors import PromptError
from sfumato.networks.k_unet import KUNet
from sfumato.networks.upsampler import patch_of
from sfumato.pipelines.beginning import sees
from sfumato.pipelines.editing import LARGEST_SIDE
from sfumato.pipelines.given import Given
from sfumato.pipelines.hints import require_number
from sfumato.pipelines.request import LARGEST_SEED, MOST_STEPS, require_text
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.tiling import enlarged_in_tiles, noise_in_place
from sfumato.pipelines.upsampling import STEPS, upsample
from sfumato.pipelines.ways.latents import Latents
from sfumato.seeds import derived_seed

LARGEST_FACTOR = 16
TILE = 512  # pixels a side of a finished tile
OVERLAP = 1 / 8  # of a tile

LANCZOS = "lanczos"


@dataclass(frozen=True)
class Upscaling:
    """How a picture is made larger: everything the result depends on besides the model.

    Attributes:
        picture: any.
        factor: how many times larger, above 1, up to 16.
        prompt: what it shows, for models that listen.
        seed: of the detail that is added.
        steps: of the denoiser, or the upsampler; None for the usual number.
    """

    picture: Given
    factor: float = 4
    prompt: str = ""
    seed: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        """Raises PromptError naming what is wrong."""
        object.__setattr__(self, "picture", Given.of(self.picture))
        require_text(self.prompt)
        require_number("factor", self.factor, 1, LARGEST_FACTOR)
        if self.factor == 1:
            raise PromptError("With a factor of 1 the picture would stay as it is.")
        for name, least, most in (("seed", 0, LARGEST_SEED), ("steps", 1, MOST_STEPS)):
            value = getattr(self, name)
            if not (isinstance(value, int) and least <= value <= most) and not (name == "steps" and value is None):
                raise PromptError(f"{name} is a whole number from {least} to {most}, not {value!r:.100}.")

    @classmethod
    def from_recipe(cls, values: Any) -> Upscaling:
        """What `upscaled` wrote into a recipe; PromptError when it is none."""
        if not isinstance(values, Mapping) or set(values) - {"by"} != set(cls.__dataclass_fields__):
            raise PromptError("This is no recipe of an upscaled picture.")
        return cls(**{name: value for name, value in values.items() if name != "by"})


@dataclass(frozen=True)
class Enlarger:
    """What a model has to make pictures larger.

    Attributes:
        name: for people.
        factor: how many times larger.
        unit: of the sides of tiles, in pixels.
        enlarge: a tile (3, h, w) in [-1, 1] and where its top and left edges are, made larger.
    """

    name: str
    factor: int
    unit: int
    enlarge: Callable[[Tensor, int, int], Tensor]


def upscaled(pipeline: Pipeline, asked: Upscaling) -> tuple[Image.Image, dict[str, Any]]:
    """The larger picture, and the recipe that makes it again.

    `recipe["upscaled"]["by"]` names how: a model's upsamplers, its denoiser where that is an upscaler's, or "lanczos"
    where it has neither, which adds no detail. A model that does not enlarge that much is asked again, and what it
    makes too large is made smaller. Memory is bounded by the size of the result.

    Raises PromptError when the result would have more than 8192 pixels a side.
    """
    picture = asked.picture.open()
    width, height = (round(side * asked.factor) for side in picture.size)
    if max(width, height) > LARGEST_SIDE:
        raise PromptError(f"{width} x {height} pixels are more than {LARGEST_SIDE} a side; take a smaller factor.")
    enlarger = enlarger_of(pipeline, asked)
    if enlarger is not None:
        times = math.ceil(math.log(asked.factor, enlarger.factor) - 1e-9)
        for _ in range(times):
            picture = _enlarged(picture, enlarger)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    told = {**asdict(asked), "by": enlarger.name if enlarger else LANCZOS}
    return picture, {**pipeline.made_by, "upscaled": told}


def enlarger_of(pipeline: Pipeline, asked: Upscaling) -> Enlarger | None:
    """What the pipeline's model has to enlarge pictures; None when it has nothing."""
    if pipeline.model.upsamplers:
        return _by_upsamplers(pipeline, asked)
    if isinstance(pipeline.way, Latents) and sees(pipeline.model) in ("small", "latents"):
        return _by_denoiser(pipeline, asked)
    return None


def _by_upsamplers(pipeline: Pipeline, asked: Upscaling) -> Enlarger:
    model = pipeline.model
    factors = pipeline.factors

    def enlarge(tile: Tensor, top: int, left: int) -> Tensor:
        made, times = tile[None].to(model.device), 1
        for part, factor in zip(model.upsamplers, factors, strict=True):
            seed = derived_seed(asked.seed, part)
            noise = noise_in_place(seed, top * times, left * times, made.shape[-1])
            network, diffusion = model.part(part), model.diffusions[part]
            made = last(upsample(network, diffusion, made, factor, noise, asked.steps or STEPS))
            times *= factor
        return made[0]

    configs = [model.part(part).config for part in model.upsamplers]
    unit = max(max(config.factor, patch_of(config)) for config in configs)
    return Enlarger("its upsamplers", prod(factors), unit, enlarge)


def _by_denoiser(pipeline: Pipeline, asked: Upscaling) -> Enlarger:
    numbers: Iterator[int] = count()

    def enlarge(tile: Tensor, top: int, left: int) -> Tensor:
        seed = derived_seed(asked.seed, "tile", next(numbers))
        made = pipeline(asked.prompt, seed=seed, picture=to_image(tile), num_inference_steps=asked.steps)
        return from_images(made.pictures)[0]

    small = sees(pipeline.model) == "small"
    factor = pipeline.model.vae.factor if small else 2
    network = pipeline.model.unet
    unit = network.config.factor * (1 if small else pipeline.model.vae.factor // 2)
    return Enlarger("its denoiser", factor, 2 * unit if isinstance(network, KUNet) else unit, enlarge)


@torch.inference_mode()
def _enlarged(picture: Image.Image, enlarger: Enlarger) -> Image.Image:
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    height, width = pixels.shape[1:]
    whole = _filled(pixels, enlarger.unit)
    tile = max(enlarger.unit, TILE // enlarger.factor // enlarger.unit * enlarger.unit)
    large = enlarged_in_tiles(enlarger.enlarge, whole, enlarger.factor, tile, max(1, int(tile * OVERLAP)))
    large = large[:, : height * enlarger.factor, : width * enlarger.factor]
    return Image.fromarray(large.permute(1, 2, 0).contiguous().numpy())


def _filled(pixels: UInt8[Tensor, "3 h w"], unit: int) -> UInt8[Tensor, "3 h2 w2"]:
    """With its reflection below and beside it, so that its sides are multiples of the unit."""
    more = [-side % unit for side in pixels.shape[1:]]
    filled = np.pad(pixels.numpy(), ((0, 0), (0, more[0]), (0, more[1])), mode="symmetric")
    return torch.from_numpy(filled)
