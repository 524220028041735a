"""Recipes as they stand in files: as JSON, whole, or without the words of a person who keeps those private."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sfumato.errors import PromptError
from sfumato.pipelines.marks.sources import KEPT, source_of

KEY = "sfumato"  # of the text chunk
LARGEST_RECIPE = 2**20  # characters
PRIVATE = "private"  # in a recipe whose words were kept out

STAYS = ("sfumato_version", "model_fingerprint", "dtype", "grid_of", "watermark")
SETTINGS = (
    *("seed", "num_inference_steps", "guidance_scale", "solver", "eta", "width", "height", "upsampler_steps"),
    *("guidance", "guidance_rescale", "clip_skip", "tiles", "pull"),
)
"""What tells nothing of what was asked for. Lists of what stays: a setting that is unknown here goes."""


def without_words(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without texts, pictures and paths: it says that it is private, and makes no picture again."""
    request = recipe.get("request")
    told = request if isinstance(request, Mapping) else {}
    return {
        **{name: recipe[name] for name in STAYS if name in recipe},
        **({"preview": True} if "preview" in recipe else {}),
        PRIVATE: True,
        KEPT: source_of(recipe),
        "request": {name: told[name] for name in SETTINGS if name in told},
    }


def parsed(text: str) -> dict[str, Any]:
    """A recipe from its text; PromptError when it is damaged."""
    if len(text) > LARGEST_RECIPE:
        raise PromptError("the recipe is larger than any should be.")
    try:
        recipe = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"the recipe is damaged: {error}") from error
    if not isinstance(recipe, dict):
        raise PromptError("the recipe is damaged: it is no table.")
    return recipe
