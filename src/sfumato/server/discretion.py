"""What remains of a request whose words are nobody's business, and what a search finds in the others."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

MOST_WORDS = 20  # in one search

NUMBERS = (
    *("seed", "num_inference_steps", "guidance_scale", "solver", "eta", "width", "height", "upsampler_steps"),
    *("guidance", "guidance_rescale", "clip_skip", "tiles", "pull", "variation", "variation_seed"),
)
"""The settings that tell nothing of what was asked for. A list of what stays: a setting unknown here goes."""


def discreet(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request as JSON without its words and pictures."""
    return {"prompt": ""} | {name: request[name] for name in NUMBERS if name in request}


def searchable(request: Mapping[str, Any]) -> str:
    """The prompts of a request as they are searched."""
    mixed = [text for text, _ in request.get("mix") or ()]
    placed = [region["prompt"] for region in request.get("regions") or ()]
    return folded("\n".join([request.get("prompt") or "", request.get("typed") or "", *mixed, *placed]))


def sought(search: str) -> list[str]:
    """The words that a search asks for, each of which has to stand somewhere."""
    return folded(search[:1000]).split()[:MOST_WORDS]


def folded(text: str) -> str:
    """Without the difference between small and capital letters, or between ways to write the same letter."""
    return unicodedata.normalize("NFKC", text).casefold()
