"""Ways to a picture, and those to text and to captions, with the stages that train each.

A stage may be repeated, as experts and cascades do: "denoiser-2" is the second of the recipe's table `denoiser`. It has
a run folder, a plan and checkpoints of its own, and its network is the part "unet_2" of the model folder.
"""

from __future__ import annotations

from typing import Literal

Way = Literal["latents", "pixels", "vectors", "gradient", "cold", "words", "captions"]

# for each way its stages in their order, each with those that must be complete before it
WAYS: dict[Way, dict[str, tuple[str, ...]]] = {
    "latents": {
        "autoencoder": (),
        "clip": (),
        "denoiser": ("autoencoder", "clip"),
        "upsampler": ("autoencoder",),
    },
    "pixels": {
        "clip": (),
        "denoiser": ("clip",),
        "upsampler": (),
    },
    "vectors": {
        "vectors": (),
        "prior": ("vectors",),
        "upsampler": ("vectors",),
    },
    "gradient": {
        "classifier": (),
    },
    "cold": {
        "clip": (),
        "restorer": ("clip",),
        "upsampler": (),
    },
    "words": {
        "language": (),
    },
    "captions": {
        "captioner": (),
    },
}

TABLES = tuple(dict.fromkeys(table for stages in WAYS.values() for table in stages))
"""The tables of stages, of all ways."""


def numbered(table: str, number: int) -> str:
    """The name of the stage that is the `number`th, from 1, of its table: "denoiser", "denoiser-2"."""
    return table if number == 1 else f"{table}-{number}"


def table_of(stage: str) -> tuple[str, int]:
    """A stage's table in the recipe, and its number in it: ("denoiser", 2) for "denoiser-2"."""
    table, _, number = stage.partition("-")
    return table, int(number or 1)


def part_of(part: str, number: int) -> str:
    """The name of the `number`th part of its kind in a model folder: "unet", "unet_2"."""
    return part if number == 1 else f"{part}_{number}"
