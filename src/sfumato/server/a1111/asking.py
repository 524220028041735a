"""From A1111's words to the settings of a request."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageOps

from sfumato.server.a1111.samplers import FREE, solver_and_spacing
from sfumato.server.a1111.shapes import Img2Img, Txt2Img
from sfumato.server.errors import Refusal
from sfumato.server.given import MOST_PIXELS, bytes_of, mask_of, picture_of

NAMES = {"num_inference_steps": "steps", "guidance_scale": "cfg_scale", "solver": "sampler_name", "count": "batch_size"}
"""What A1111's clients call our settings."""

SYNTAX = "a1111"  # by whose rules their prompts are read
STRENGTH = 0.75  # of img2img, where nothing else is asked for
STRETCH, CROP = 0, 1  # resize modes


def settings_of(asked: Txt2Img, options: Mapping[str, object], takes: frozenset[str]) -> dict[str, Any]:
    """The settings that a call asks for, without its pictures.

    Args:
        asked: the call.
        options: what its owner has set.
        takes: what the model follows; A1111's clients always send all that they know, so the rest is left out.

    Raises Refusal for what is not done here.
    """
    _require_done_here(asked)
    solver, spacing = solver_and_spacing(asked.sampler_name or asked.sampler_index, asked.scheduler)
    skip = options.get("CLIP_stop_at_last_layers")
    optional = {
        "negative_prompt": asked.negative_prompt or None if asked.cfg_scale != 1 else None,
        "solver": solver,
        "spacing": spacing,
        "eta": asked.eta if solver in FREE else None,
        "prompt_syntax": SYNTAX,
        "clip_skip": skip if skip != 1 else None,
        **_varied(asked),
    }
    return {
        "prompt": asked.prompt or "",
        "seed": None if asked.seed in (None, -1) else asked.seed,
        "num_inference_steps": asked.steps,
        "guidance_scale": asked.cfg_scale,
        "width": asked.width,
        "height": asked.height,
        **{name: value for name, value in optional.items() if name in takes},
    }


def _varied(asked: Txt2Img) -> dict[str, Any]:
    """The noise of another seed mixed in."""
    if not asked.subseed_strength:
        return {}
    seed = secrets.randbits(32) if asked.subseed in (None, -1) else asked.subseed
    return {"variation": asked.subseed_strength, "variation_seed": seed}


def begun(asked: Img2Img) -> dict[str, Any]:
    """The settings of the pictures of img2img."""
    if asked.resize_mode not in (None, STRETCH, CROP):
        raise Refusal(422, "resize_mode is 0, which stretches, or 1, which cuts.", "resize_mode", "not_here")
    picture = _fitted(asked, picture_of(bytes_of(asked.init_images[0], "init_images"), "init_images"))
    strength = STRENGTH if asked.denoising_strength is None else asked.denoising_strength
    settings: dict[str, Any] = {"picture": picture, "strength": strength}
    if asked.mask:
        mask = _fitted(asked, mask_of(bytes_of(asked.mask, "mask"), "mask"))
        settings["mask"] = ImageOps.invert(mask) if asked.inpainting_mask_invert else mask
    return settings


def _fitted(asked: Img2Img, picture: Image.Image) -> Image.Image:
    """The picture as large as the one to be made, where it is to be stretched to that."""
    if asked.resize_mode == CROP or not (asked.width and asked.height) or asked.width * asked.height > MOST_PIXELS:
        return picture
    return picture.resize((asked.width, asked.height), Image.Resampling.LANCZOS)


def _require_done_here(asked: Txt2Img) -> None:
    refused = {
        "styles": asked.styles,
        "restore_faces": asked.restore_faces,
        "tiling": asked.tiling,
        "s_churn": asked.s_churn,
        "enable_hr": asked.enable_hr,
        "refiner_checkpoint": asked.refiner_checkpoint,
        "script_name": asked.script_name,
        "alwayson_scripts": any(_is_on(script) for script in (asked.alwayson_scripts or {}).values()),
    }
    for name, is_asked in refused.items():
        if is_asked:
            raise Refusal(422, f"{name} is not done here; leave it out.", name, "not_here")


def _is_on(script: object) -> bool:
    """Whether a script has arguments that are not all off."""
    given = script.get("args") if isinstance(script, dict) else script
    return any(given) if isinstance(given, list) else bool(given)
