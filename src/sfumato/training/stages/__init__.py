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

PARTS: dict[str, tuple[str, ...]] = {
    "autoencoder": ("vae",),
    "clip": ("text_encoder", "image_encoder"),
    "denoiser": ("unet", "transformer", "clip_text_encoder"),
    "upsampler": ("upsampler",),
    "classifier": ("classifier",),
    "restorer": ("restorer",),
    "vectors": ("vector_vae", "text_encoder"),
    "prior": ("prior",),
    "language": ("language_model",),
    "captioner": ("captioner",),
}
"""The kinds of parts of the model folder that a stage of each table may become."""

WRITING = ("language", "captioner")
PAINTING = tuple(dict.fromkeys(part for table, parts in PARTS.items() if table not in WRITING for part in parts))


def parts_of(name: str, recipe: Recipe) -> tuple[str, ...]:
    """The parts of the model folder that a stage of a recipe becomes."""
    table, number = ways.table_of(name)
    if table == "denoiser":
        own = ways.part_of(recipe.denoiser.part, number)
        return (own, "text_encoder", "clip_text_encoder") if recipe.denoiser.train_words else (own,)
    return tuple(ways.part_of(part, number) for part in PARTS[table])


def builder(name: str, workshop: Workshop) -> Callable[[Recipe], Stage]:
    """What builds a stage by its name; those of a repeated table are told their number."""
    table, number = ways.table_of(name)
    build = BUILDERS[table]
    return partial(build, workshop, number=number) if number > 1 else partial(build, workshop)
