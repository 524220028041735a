"""The attention maps of a page: which ones it holds, and in words where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from sfumato.errors import PromptError
from sfumato.pipelines.trace import Trace
from sfumato.server.xray.kept import evenly, kept
from sfumato.server.xray.looks import sheet

MOST_WORDS = 40  # with maps; a longer prompt shows those of its first ones
MOST_MAPS = 600  # of all words, layers, groups of heads and steps together
BRIGHT = 0.5  # of the brightest place: what counts as where a word acts
THIRDS = (1 / 3, 2 / 3)
PLACES = {  # of a network's blocks in the names of layers; other words of those tell nothing more
    "down_blocks": "down",
    "mid_block": "middle",
    "up_blocks": "up",
    "transformer_blocks": "block",
    "single_transformer_blocks": "single block",
}
ROWS, COLUMNS = ("upper", "", "lower"), ("left", "", "right")


@dataclass(frozen=True)
class View:
    """What is looked at: all of the attention, one layer, or one group of heads; over all steps, and at some."""

    name: str
    layer: str | None
    heads: int | None
    steps: tuple[int, ...]  # places in `Trace.steps`


def views(trace: Trace) -> list[View]:
    """The whole at every step that the page shows; each layer and group of heads at as many as there is room for."""
    every = kept(trace)
    groups = range(trace.head_groups) if trace.head_groups > 1 else ()
    parts: list[tuple[str, str | None, int | None]] = [(called(layer), layer, None) for layer in trace.layers]
    parts += [(f"group of heads {group + 1}", None, group) for group in groups]
    words = max(1, min(len(heard(trace)), MOST_WORDS))
    room = (MOST_MAPS // words - 1 - len(every)) // max(1, len(parts)) - 1
    some = evenly(every, max(0, min(room, len(every))))
    return [View("all layers", None, None, every), *(View(name, layer, heads, some) for name, layer, heads in parts)]


def called(layer: str) -> str:
    """A layer as people call it.

    Example:
        >>> called("up_blocks.0.attentions.1.transformer_blocks.0.attn2")
        'up 0.1.0'
    """
    words = layer.split(".")
    place = next((PLACES[word] for word in words if word in PLACES), None)
    numbers = ".".join(word for word in words if word.isdecimal())
    return layer if place is None else f"{place} {numbers}".strip()


def heard(trace: Trace) -> list[int]:
    """The places of words that the denoiser looks at; none where no attention was recorded."""
    return [place for place, word in enumerate(trace.words) if word.places] if trace.layers else []


def sheets(trace: Trace, looked: list[View]) -> dict[int, dict[str, Any]]:
    """For each word that is heard its maps on a sheet, and in words where it acts.

    The maps follow each other view by view, in each first that of all steps, then those of its steps.
    """
    found = {}
    for word in heard(trace)[:MOST_WORDS]:
        try:
            maps = [each for view in looked for each in _maps(trace, word, view)]
        except PromptError:  # a word that is said but not heard
            continue
        found[word] = {"sheet": sheet(maps), "where": where(maps[0])}
    return found


def _maps(trace: Trace, word: int, view: View) -> list[Float[np.ndarray, "h w"]]:
    numbers = [None, *(trace.steps[place].step for place in view.steps)]
    return [trace.attention(word, number, view.layer, view.heads) for number in numbers]


def where(attention: Float[np.ndarray, "h w"]) -> str:
    """A map in words, such as "in the upper left, 12 % of the picture"."""
    bright = attention >= BRIGHT * attention.max()
    if not attention.max() or bright.all():
        return "everywhere alike"
    weights = attention * bright
    height, width = attention.shape
    down = float(((np.arange(height) + 0.5) / height) @ weights.sum(1) / weights.sum())
    across = float(((np.arange(width) + 0.5) / width) @ weights.sum(0) / weights.sum())
    row, column = ROWS[np.searchsorted(THIRDS, down)], COLUMNS[np.searchsorted(THIRDS, across)]
    place = f"{row} {column}".strip() or "middle"
    side = "part" if place in ("upper", "lower") else "side" if place in ("left", "right") else ""
    return f"in the {f'{place} {side}'.strip()}, {100 * bright.mean():.0f} % of the picture"
