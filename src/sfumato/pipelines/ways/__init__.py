"""Ways to a small picture; a model folder says which one is its own."""

from collections.abc import Callable

from sfumato.errors import CheckpointError
from sfumato.pipelines.model import Model
from sfumato.pipelines.ways.cold import Cold
from sfumato.pipelines.ways.gradient import Gradient
from sfumato.pipelines.ways.latents import Latents
from sfumato.pipelines.ways.way import Way

WAYS: dict[str, Callable[[Model], Way]] = {
    "latents": Latents,
    "pixels": Latents,
    "gradient": Gradient,
    "cold": Cold,
}


def way_of(model: Model) -> Way:
    """The model's way to a picture; CheckpointError when it lacks a part."""
    if model.way not in WAYS:
        raise CheckpointError(f"{model.folder} makes pictures by {model.way!r}; known here: {', '.join(WAYS)}.")
    return WAYS[model.way](model)
