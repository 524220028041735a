"""The real pictures that made ones stand beside: some with their captions, and others that are known besides."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.data.store import Store, prepare
from sfumato.errors import DataError
from sfumato.evaluation.coverage import NEIGHBOURS
from sfumato.evaluation.features import TOGETHER
from sfumato.seeds import derived_seed

USUALLY = 256  # pictures that are compared
MOST_KNOWN = 20_000  # pictures that made ones are looked for among


@dataclass(frozen=True)
class Part:
    """Some pictures of a store."""

    store: Store
    chosen: list[int]

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(self) -> Iterator[Float[Tensor, "b 3 s s"]]:
        """All of them in [-1, 1], a few at a time."""
        for some in torch.tensor(self.chosen, dtype=torch.int64).split(TOGETHER):
            if len(some):
                yield self.store.batch(some)


@dataclass(frozen=True)
class Real:
    """What a model is compared with.

    Attributes:
        pictures: those whose captions are asked for.
        captions: one of each.
        known: others: the training pictures where they are given, else those that were not chosen.
        trained_on: whether `known` are training pictures.
    """

    pictures: Part
    captions: list[str]
    known: Part
    trained_on: bool

    @property
    def groups(self) -> list[list[int]]:
        """The places of pictures of one class, class by class; none where there are no classes."""
        labels = [self.pictures.store.labels[i] for i in self.pictures.chosen]
        names = sorted({label for label in labels if label is not None})
        return [[place for place, label in enumerate(labels) if label == name] for name in names]


def real_pictures(
    data: str, training: str | None, size: int, count: int | None, seed: int, cache: Path, split: str = "all"
) -> Real:
    """Choose pictures by a seed, and a caption of each.

    Args:
        data: a folder or tar of captioned pictures, or "digits", whose held-out part is then meant.
        training: the pictures that the model learned from, such; for "digits" its training part if not given.
        size: of all pictures, in pixels a side.
        count: how many are chosen, at most all; by default 256, or half of the data if that is less and there are no
            training pictures.
        seed: of the choice.
        cache: folder for the decoded pictures.

    Raises DataError when there are too few usable pictures.
    """
    held_out = data == "digits"
    store = prepare(data, size, cache, split="test" if held_out else "all")
    trained = training or ("digits" if held_out else None)
    chance = random.Random(derived_seed(seed, "real pictures"))
    order = chance.sample(range(len(store)), len(store))
    count = min(count or min(USUALLY, len(store) if trained else (len(store) + 1) // 2), len(store))
    if count <= NEIGHBOURS:
        least = (NEIGHBOURS + 1) * (1 if trained else 2)
        raise DataError(f"{data} has {len(store)} usable pictures; to compare with them takes at least {least}.")
    chosen, left = order[:count], order[count:]
    captions = [chance.choice(store.captions[i]) for i in chosen]
    if trained:
        known = prepare(trained, size, cache, split="train" if trained == "digits" else "all")
        if known.fingerprint == store.fingerprint:
            raise DataError(
                f"The training pictures {trained} are the data themselves. Leave --training out, or give as --data "
                "pictures that the model never saw."
            )
        left = chance.sample(range(len(known)), len(known))
        return Real(Part(store, chosen), captions, Part(known, left[:MOST_KNOWN]), trained_on=True)
    return Real(Part(store, chosen), captions, Part(store, left[:MOST_KNOWN]), trained_on=False)
