"""Files made again from the recipes they carry: pictures, strips of them, and pictures made larger."""

from __future__ import annotations

from typing import Any

from PIL import Image

from sfumato.errors import PromptError
from sfumato.pipelines.loading import require_additions
from sfumato.pipelines.model import require_fingerprint
from sfumato.pipelines.strips import MOST_FRAMES, sheet, told
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.upscaling import Upscaling, upscaled


def remade(pipeline: Pipeline, recipe: dict[str, Any]) -> tuple[Image.Image, dict[str, Any]]:
    """What a recipe makes, and its recipe; of a moving strip, the sheet of its pictures.

    Raises CheckpointError when it is another model's, PromptError when it is damaged.
    """
    if "strip" in recipe:
        requests = recipe["strip"]
        if not isinstance(requests, list) or not 1 <= len(requests) <= MOST_FRAMES:
            raise PromptError("The recipe of a strip is damaged.")
        results = [pipeline.replay({**recipe, "request": request}) for request in requests]
        return sheet([one.pictures[0] for one in results]), told([one.recipes[0] for one in results])
    if "upscaled" in recipe:
        require_fingerprint(pipeline.model.folder, recipe)
        require_additions(pipeline.model, recipe)
        return upscaled(pipeline, Upscaling.from_recipe(recipe["upscaled"]))
    result = pipeline.replay(recipe)
    return result.pictures[0], result.recipes[0]
