"""How a picture was made, as A1111 writes it below its pictures and into their files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin
from pydantic_core import to_json

from sfumato import __version__
from sfumato.pipelines.keepsake import KEY, LARGEST_RECIPE
from sfumato.pipelines.marks.credentials import Signer, signed
from sfumato.pipelines.marks.recipes import parsed
from sfumato.pipelines.marks.sources import source_of
from sfumato.server.a1111.samplers import SCHEDULERS, sampler_of
from sfumato.server.errors import Refusal
from sfumato.server.given import AT_ONCE, MOST_PIXELS

PARAMETERS = "parameters"  # the text chunk that A1111's users look at
VERSION = f"sfumato {__version__}"


def infotext(request: Mapping[str, Any], width: int, height: int, model: str) -> str:
    """The text of one picture.

    Args:
        request: its settings, as `Request.to_dict()`.
        width, height: of the picture.
        model: its name.
    """
    spacing = request.get("spacing")
    label = next((label for label, ours in SCHEDULERS.items() if ours == spacing), str(spacing))
    parts = {
        "Steps": request.get("num_inference_steps"),
        "Sampler": sampler_of(str(request.get("solver"))),
        "Schedule type": label,
        "CFG scale": request.get("guidance_scale"),
        "Seed": request.get("seed"),
        "Variation seed": request.get("variation_seed"),
        "Variation seed strength": request.get("variation") or None,
        "Size": f"{width}x{height}",
        "Model": model,
        "Denoising strength": request.get("strength"),
        "Clip skip": request.get("clip_skip"),
        "Version": VERSION,
    }
    lines = [str(request.get("prompt", ""))]
    if request.get("negative_prompt"):
        lines.append(f"Negative prompt: {request['negative_prompt']}")
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in parts.items() if value is not None)])


def with_infotext(path: Path, text: str | None, signer: Signer | None = None) -> bytes:
    """A picture of the store with A1111's text beside its recipe, signed anew; the file as it is for None."""
    if text is None:
        return path.read_bytes()
    with Image.open(path, formats=["PNG"]) as picture:
        picture.load()
        chunks = PngImagePlugin.PngInfo()
        for name, value in picture.info.items():
            if isinstance(name, str) and isinstance(value, str):
                chunks.add_itxt(name, value)
        chunks.add_itxt(PARAMETERS, text)
        file = io.BytesIO()
        picture.save(file, format="PNG", pnginfo=chunks)
        source = source_of(_recipe(picture.info.get(KEY, "")))
    return signed(file.getvalue(), "png", source, signer) if signer else file.getvalue()


def read(content: bytes) -> tuple[str, dict[str, Any]]:
    """What a PNG says of how it was made: A1111's text, and the settings of its recipe.

    Args:
        content: the file.

    Returns:
        The text, empty if there is none, and the settings, empty likewise.

    Raises:
        Refusal: it is no PNG, or too large.
    """
    try:
        with AT_ONCE, Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise Refusal(413, "The picture is too large.", "image", "image_too_large")
            picture.load()
            known = {name: text for name in (PARAMETERS, KEY) if isinstance(text := picture.info.get(name), str)}
            size = picture.size
    except Refusal:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every kind of exception on broken files.
        raise Refusal(400, "The image is no PNG in base64.", "image", "invalid_image") from error
    recipe = _recipe(known.get(KEY, ""))
    settings = recipe.get("request")
    settings = settings if isinstance(settings, dict) else {}
    text = known.get(PARAMETERS, "")
    if not text and settings:
        text = infotext(settings, *size, Path(str(recipe.get("model", ""))).name)
    return text[:LARGEST_RECIPE], settings


def _recipe(text: str) -> dict[str, Any]:
    """A recipe from its text; empty where there is none, or none that an answer could hold."""
    try:
        recipe = parsed(text)
        to_json(recipe)
    except ValueError:
        return {}
    return recipe
