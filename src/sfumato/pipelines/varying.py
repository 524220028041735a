"""Variations of a picture: of one made here by its noise, of any other by what adapters see in it, or begun with it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from sfumato.errors import CheckpointError, PromptError
from sfumato.pipelines.given import Given
from sfumato.pipelines.hints import require_number
from sfumato.pipelines.keepsake import read_recipe
from sfumato.pipelines.loading import require_additions
from sfumato.pipelines.marks.recipes import PRIVATE
from sfumato.pipelines.request import Request

if TYPE_CHECKING:
    from sfumato.pipelines.text_to_image import Pipeline

Varied = Mapping[str, Any] | Request | str | Path | Image.Image
"""A picture's recipe, its request, its file, or the picture itself."""


def variations(
    pipeline: Pipeline, varied: Varied, count: int = 4, amount: float = 0.3, seed: int | None = None, **settings: Any
) -> list[Request]:
    """The requests of pictures like another.

    One that this model made is known by its recipe: its noise is turned toward that of other seeds, and a variation of
    a variation is one of the picture that it came from. Of any other, with an IP-Adapter, it is what CLIP sees in it
    that stays, the less the more it is to vary; and without one it is made noisy by the amount, and painted from there.

    Args:
        pipeline: that will make them.
        varied: the recipe or request of a picture, its file, or the picture.
        count: how many.
        amount: how much they differ from it, above 0, up to 1.
        seed: of the first; a random one when not given.
        settings: fields of a `Request`, among them the prompt; `adapter` is the file of an IP-Adapter, which is for
            pictures whose recipe is not to be followed.

    Raises:
        PromptError: it is no picture; a recipe alone is that of another model; a setting is not valid.
    """
    require_number("amount", amount, 0, 1)
    if not amount:
        raise PromptError("With an amount of 0 there is nothing to vary.")
    adapter, seed = settings.pop("adapter", None), secrets.randbits(32) if seed is None else seed
    request = None if adapter else request_of(varied, pipeline)
    if request is not None:
        settings |= {"variation": amount, "variation_seed": seed}
        try:
            request = replace(request.without_idle(pipeline.way.takes), **settings)
        except TypeError as error:
            raise PromptError(f"There is no such setting: {error}") from error
        return [request.following(number) for number in range(count)]
    if isinstance(varied, Request | Mapping):
        raise PromptError("The recipe is of a picture that another model made; give the picture itself.")
    picture = Given.of(varied)
    given: dict[str, Any]
    if adapter:
        given = {"like": [{"adapter": adapter, "pictures": [picture], "scale": 1 - amount / 2}]}
    else:
        given = {"picture": picture, "strength": amount}
    return pipeline.requests(settings.pop("prompt", ""), count, seed, **given, **settings)


def request_of(varied: Varied, pipeline: Pipeline) -> Request | None:
    """How a picture was made, where it says so, by this model with what is beside it; else None."""
    if isinstance(varied, Request):
        return varied
    recipe = varied if isinstance(varied, Mapping) else _recipe(varied)
    told = "request" in recipe and not {"grid_of", "preview", PRIVATE} & set(recipe)
    if not told or recipe.get("model_fingerprint") != pipeline.fingerprint:
        return None
    try:
        require_additions(pipeline.model, recipe)
    except CheckpointError:  # with another LoRA the same noise makes another picture
        return None
    return Request.from_dict(recipe["request"])


def _recipe(varied: str | Path | Image.Image) -> Mapping[str, Any]:
    try:
        return {} if isinstance(varied, Image.Image) else read_recipe(Path(varied))
    except PromptError:  # the picture of another program, or a file that `Given` refuses
        return {}
