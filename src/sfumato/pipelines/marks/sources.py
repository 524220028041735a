"""What a picture comes from, in the words of the IPTC's vocabulary of digital source types.

https://cv.iptc.org/newscodes/digitalsourcetype/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED = "trainedAlgorithmicMedia"
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
GENERATED = frozenset({TRAINED, COMPOSITE, "compositeSynthetic"})
"""The source types of pictures in which a generative model had a part."""

KEPT = "digital_source_type"  # in a recipe that no longer tells enough to see it


def source_of(recipe: Mapping[str, Any]) -> str:
    """`COMPOSITE` where the recipe begins with a picture that was given, else `TRAINED`."""
    strip = recipe.get("strip")
    requests = [recipe.get("request"), *(strip if isinstance(strip, list) else ())]
    given = any(isinstance(request, Mapping) and request.get("picture") is not None for request in requests)
    return (
        COMPOSITE if given or "restored" in recipe or "upscaled" in recipe or recipe.get(KEPT) == COMPOSITE else TRAINED
    )


def term(uri: str) -> str:
    """A source type without its vocabulary: the last part of its address."""
    return uri.strip().rstrip("/").rpartition("/")[2]
