"""The training pictures that are nearest to one that was made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from sfumato.checkpoints.folder import load_lineage
from sfumato.data.pictures import from_images, to_image
from sfumato.data.store import Store, prepare
from sfumato.evaluation.novelty import all_distances

SIDE = 64  # pixels of pictures that are decoded only to look among them
MOST_KNOWN = 20_000  # training pictures that are looked at
TOGETHER = 256


@dataclass(frozen=True)
class Neighbour:
    """A training picture, a caption of it, and its root-mean-square distance to the one that was made."""

    picture: Image.Image
    caption: str
    distance: float


@contextmanager
def training_pictures(model: Path, data: str | None = None) -> Iterator[Store | None]:
    """The pictures that a model learned from: those named, those of its run folder, or the digits; None if unknown.

    Args:
        model: its folder.
        data: a folder or tar of captioned pictures, or "digits".

    Raises DataError when there are no usable pictures in what is named.
    """
    kept = next(iter(sorted(model.glob("run/pictures/*/store.json"))), None)
    if data is None and kept is not None:
        yield Store.open(kept.parent)
        return
    if data is None and load_lineage(model).get("data", {}).get("source") == "digits":
        data = "digits"
    if data is None:
        yield None
        return
    with TemporaryDirectory() as cache:
        yield prepare(data, SIDE, Path(cache), split="train" if data == "digits" else "all")


def neighbours(picture: Image.Image, known: Store, most: int = 8) -> list[Neighbour]:
    """The nearest ones, the nearest first, as `nearest_distances` measures."""
    made = from_images([picture.convert("RGB")])
    numbers = torch.arange(min(len(known), MOST_KNOWN))
    apart = torch.cat([all_distances(made, known.batch(some))[0] for some in numbers.split(TOGETHER)])
    nearest = apart.topk(min(most, len(apart)), largest=False)
    return [
        Neighbour(to_image(known.batch(torch.tensor([at]))[0]), known.captions[at][0], distance)
        for distance, at in zip(nearest.values.tolist(), nearest.indices.tolist(), strict=True)
    ]
