"""The four stages of a training, in their order."""

from collections.abc import Callable

from sfumato.training.recipe import Recipe
from sfumato.training.stage import Stage, Workshop
from sfumato.training.stages import autoencoder, clip, denoiser, upsampler

BUILDERS: dict[str, Callable[[Workshop, Recipe], Stage]] = {
    "autoencoder": autoencoder.build,
    "clip": clip.build,
    "denoiser": denoiser.build,
    "upsampler": upsampler.build,
}
