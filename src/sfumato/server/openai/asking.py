"""From OpenAI's words to the settings of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from PIL import Image

from sfumato.server.errors import Refusal
from sfumato.server.given import is_visible, picture_of, transparency_of
from sfumato.server.openai.shapes import Common, Edit, Rendered, Variation

STEPS = {"low": 0.5, "high": 2.0, "hd": 2.0, "xhigh": 3.0, "max": 4.0}
"""How many times the usual number of steps a quality takes; the others take the usual one."""

NAMES = {"num_inference_steps": "steps", "width": "size", "height": "size", "count": "n", "picture": "image"}
"""What OpenAI's clients call our settings."""

EDITED, FAITHFUL, VARIED = 0.7, 0.5, 0.6  # strengths


def settings_of(asked: Common, usual_steps: int) -> dict[str, Any]:
    """The settings that a call asks for, without its pictures; Refusal names what cannot be done."""
    width, height = sides(asked.size)
    settings = {
        "prompt": getattr(asked, "prompt", None) or "",
        "seed": asked.seed,
        "num_inference_steps": asked.steps,
        "guidance_scale": asked.guidance_scale,
        "solver": asked.solver,
        "negative_prompt": asked.negative_prompt,
        "width": width,
        "height": height,
    }
    if isinstance(asked, Rendered):
        _require_rendered(asked)
        if asked.steps is None and asked.quality in STEPS:
            settings["num_inference_steps"] = max(1, round(usual_steps * STEPS[asked.quality]))
    return settings


def edited(asked: Edit, pictures: list[bytes], mask: bytes | None) -> dict[str, Any]:
    """The settings of an edit's pictures.

    Where OpenAI's mask is transparent the picture is painted anew; without one, where the picture itself is; where
    neither is, all of it changes by `strength`.
    """
    if len(pictures) != 1:
        told = "The image is missing." if not pictures else f"One image is edited at a time, not {len(pictures)}."
        raise Refusal(400, told, "image", "missing_required_parameter" if not pictures else "too_many")
    picture = picture_of(pictures[0], "image")
    free = transparency_of(pictures[0], "image") if mask is None else transparency_of(mask, "mask")
    if mask is not None:
        _require_mask(free, picture)
    strength = asked.strength
    if not is_visible(free):
        usual = FAITHFUL if asked.input_fidelity == "high" else EDITED
        return {"picture": picture, "strength": usual if strength is None else strength}
    return {"picture": picture, "mask": free, "strength": strength}


def varied(asked: Variation, picture: bytes | None) -> dict[str, Any]:
    """The settings of a variation's picture."""
    if picture is None:
        raise Refusal(400, "Missing required parameter: 'image'.", "image", "missing_required_parameter")
    strength = VARIED if asked.strength is None else asked.strength
    return {"picture": picture_of(picture, "image"), "strength": strength}


def sides(size: str | None) -> tuple[int | None, int | None]:
    """Width and height of "WIDTHxHEIGHT"; None for both of "auto". Raises Refusal."""
    if size in (None, "", "auto"):
        return None, None
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", size or "")
    if not found:
        raise Refusal(400, "size is WIDTHxHEIGHT such as 256x256, or auto.", "size", "invalid_value")
    return int(found[1]), int(found[2])


def usual_steps(usual: Mapping[str, Any], standard: int) -> int:
    """How many steps a model usually takes."""
    return int(usual.get("num_inference_steps", standard))


def _require_rendered(asked: Rendered) -> None:
    if asked.background == "transparent":
        raise Refusal(400, "Transparent backgrounds are not made here.", "background", "invalid_value")
    if asked.style is not None:
        raise Refusal(400, "There is no style here; describe it in the prompt.", "style", "unknown_parameter")
    if asked.stream and asked.response_format == "url":
        raise Refusal(400, "A stream holds the pictures themselves.", "response_format", "invalid_value")
    if asked.partial_images and not asked.stream:
        raise Refusal(400, "partial_images needs stream.", "partial_images", "invalid_value")


def _require_mask(mask: Image.Image, picture: Image.Image) -> None:
    if not is_visible(mask):
        raise Refusal(400, "The mask is transparent nowhere, so nothing would be painted.", "mask", "invalid_image")
    if mask.size != picture.size:
        told = f"The mask has {mask.width} x {mask.height} pixels and the image {picture.width} x {picture.height}."
        raise Refusal(400, told, "mask", "invalid_image")
