"""Strips: pictures on the way from one prompt to the next, from one seed's noise to the next, or along both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from sfumato.checkpoints.files import write
from sfumato.data.pictures import grid
from sfumato.errors import PromptError
from sfumato.pipelines.keepsake import save_picture
from sfumato.pipelines.marks.writing import chunks_of, marked_gif
from sfumato.pipelines.request import MIXTURES, MOST_PROMPTS, VARYING, Request

if TYPE_CHECKING:
    from sfumato.pipelines.text_to_image import Pipeline

MOST_FRAMES = 240
FRAME = 120  # milliseconds that each is shown

End = TypeVar("End", str, int)


def strip(
    pipeline: Pipeline,
    prompts: str | Sequence[str],
    frames: int,
    seeds: Sequence[int],
    mix_how: str = MIXTURES[0],
    **settings: Any,
) -> list[Request]:
    """The requests of a strip, evenly spread from the first prompt and seed to the last of each.

    Between two seeds their noise is mixed on the great circle, so that what lies between is noise as it should be
    (Shoemake 1985), and between two prompts their text states likewise, or what `mix_how` says. At the ends are the
    prompts' and seeds' own pictures.

    Args:
        pipeline: that will make them.
        prompts, seeds: at least one of each, and at least two of one.
        frames: how many, at least as many as there are prompts or seeds.
        mix_how: a name in `sfumato.pipelines.request.MIXTURES`.
        settings: the other fields of a `Request`.

    Raises:
        PromptError: there is no way to go, too few frames for it, or the settings mix prompts or noise themselves.
    """
    prompts, count = [prompts] if isinstance(prompts, str) else list(prompts), frames
    longest = max(len(prompts), len(seeds))
    if not prompts or not seeds or longest < 2:
        raise PromptError("A strip goes from one prompt or seed to another: give two of one of them at least.")
    if longest > MOST_PROMPTS:
        raise PromptError(f"A strip takes at most {MOST_PROMPTS} prompts and seeds, not {longest}.")
    if not isinstance(count, int) or not longest <= count <= MOST_FRAMES:
        raise PromptError(f"frames is a whole number from {longest} (the ends) to {MOST_FRAMES}, not {count!r:.100}.")
    idle = sorted({"mix", *VARYING} & set(settings))
    if idle:
        raise PromptError(f"A strip mixes prompts and noise itself: leave {', '.join(idle)} out.")
    (first,) = pipeline.requests(prompts[0], 1, seeds[0], **settings)
    ways = [(_between(prompts, place, count - 1), _between(seeds, place, count - 1)) for place in range(count)]
    return [_frame(first, prompt, seed, mix_how) for prompt, seed in ways]


def _frame(plan: Request, prompt: tuple[str, str, float], seed: tuple[int, int, float], mix_how: str) -> Request:
    one, other, share = prompt
    mix = ((other, share),) if share and one != other else ()
    own, others, amount = seed
    turned = bool(amount) and own != others
    plan = replace(plan, prompt=one, mix=mix, mix_how=mix_how if mix else MIXTURES[0], seed=own)
    return replace(plan, variation=amount, variation_seed=others) if turned else plan


def _between(ends: Sequence[End], place: int, last: int) -> tuple[End, End, float]:
    """The ends between which a place of a strip lies, and how far it is from the one to the other, 0 to below 1."""
    if len(ends) == 1 or place == last:
        return ends[-1], ends[-1], 0.0
    segment, rest = divmod(place * (len(ends) - 1), last)
    one, other = list(pairwise(ends))[segment]
    return one, other, rest / last


def save_strip(
    pictures: Sequence[Image.Image], path: Path, recipes: Sequence[dict[str, Any]], *, moving: bool = False
) -> None:
    """Write a strip: in a row as a PNG, or there and back as a moving picture, a GIF or with `moving` a PNG.

    A PNG carries the recipes of its pictures, as "strip"; a GIF says that a machine made it, and no more. Raises
    StorageError where the file cannot be written.
    """
    recipe, gif = told(recipes), path.suffix.lower() == ".gif"
    if not gif and not moving:
        save_picture(sheet(pictures), path, recipe)
        return
    how: dict[str, Any] = {"format": "GIF"}
    if not gif:
        how = {"format": "PNG", "pnginfo": chunks_of({**recipe, "moving": True})}
    first, *others = [*pictures, *pictures[-2:0:-1]]
    how |= {"save_all": True, "append_images": others, "duration": FRAME, "loop": 0}

    def fill(temporary: Path) -> None:
        first.save(temporary, **how)
        if gif:
            temporary.write_bytes(marked_gif(temporary.read_bytes(), recipe))

    write(path, fill)


def sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """The pictures of a strip in a row."""
    return grid(pictures, columns=len(pictures))


def told(recipes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The recipes of a strip's pictures as one: what made them, and what was asked for each."""
    made_by = {name: value for name, value in recipes[0].items() if name != "request"}
    return {**made_by, "strip": [recipe["request"] for recipe in recipes]}
