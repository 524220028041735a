"""The stages of a training: what builds each from its table of the recipe."""

from collections.abc import Callable
from functools import partial

from sfumato.training import ways
from sfumato.training.recipe import Recipe
from sfumato.training.stage import Stage
from sfumato.training.stages import (
    autoencoder,
    captioner,
    classifier,
    clip,
    denoiser,
    language,
    prior,
    restorer,
    upsampler,
    vectors,
)
from sfumato.training.workshop import Workshop

BUILDERS: dict[str, Callable[..., Stage]] = {
    "autoencoder": autoencoder.build,
    "clip": clip.build,
    "denoiser": denoiser.build,
    "upsampler": upsampler.build,
    "classifier": classifier.build,
    "restorer": restorer.build,
    "vectors": vectors.build,
    "prior": prior.build,
    "language": language.build,
    "captioner": captioner.build,
}


def builder(name: str, workshop: Workshop) -> Callable[[Recipe], Stage]:
    """What builds a stage by its name; those of a repeated table are told their number."""
    table, number = ways.table_of(name)
    build = BUILDERS[table]
    return partial(build, workshop, number=number) if number > 1 else partial(build, workshop)
