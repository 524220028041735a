"""The captions of a data set as numbers: which ones belong to which picture, and which say the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Generator, Tensor

from sfumato.data.loader import caption_choices
from sfumato.data.scenes.store import SceneStore


class Captions:
    """Distinct captions in `texts`; `choose` picks one for each picture, `meanings` tells which say the same."""

    def __init__(self, captions: Sequence[Sequence[str]], labels: Sequence[str | None]) -> None:
        self.texts = sorted({text for several in captions for text in several})
        number = {text: i for i, text in enumerate(self.texts)}
        self.counts = torch.tensor([len(several) for several in captions])
        self.starts = self.counts.cumsum(0) - self.counts
        self.flat = torch.tensor([number[text] for several in captions for text in several])
        self._meanings = self._told_apart(captions, labels, number)

    def _told_apart(
        self, captions: Sequence[Sequence[str]], labels: Sequence[str | None], number: dict[str, int]
    ) -> Int64[Tensor, " pictures"]:
        """A number per picture that is equal where the captions say the same: by class, or else by first caption."""
        classes = {label: len(number) + i for i, label in enumerate(sorted({x for x in labels if x is not None}))}
        return torch.tensor(
            [
                classes[label] if label is not None else number[several[0]]
                for several, label in zip(captions, labels, strict=True)
            ]
        )

    def choose(self, pictures: Int64[Tensor, " b"], generator: Generator) -> Int64[Tensor, " b"]:
        """The number in `texts` of one caption for each picture, chosen at random."""
        return self.flat[self.starts[pictures] + caption_choices(self.counts[pictures], generator)]

    def some(self, numbers: Int64[Tensor, " b"]) -> list[str]:
        """The captions of these numbers."""
        return [self.texts[number] for number in numbers.tolist()]

    def meanings(self, pictures: Int64[Tensor, " b"]) -> Int64[Tensor, " b"]:
        """Equal numbers for pictures of which the same is said."""
        return self._meanings[pictures]


class SceneCaptions:
    """Those of scenes, each of which has the number of its picture and is told when it is asked for."""

    def __init__(self, store: SceneStore) -> None:
        self.store = store

    def choose(self, pictures: Int64[Tensor, " b"], generator: Generator) -> Int64[Tensor, " b"]:
        """The numbers of the captions of some pictures."""
        return pictures

    def some(self, numbers: Int64[Tensor, " b"]) -> list[str]:
        """The captions of these numbers."""
        return self.store.captions(numbers)

    def meanings(self, pictures: Int64[Tensor, " b"]) -> Int64[Tensor, " b"]:
        """Equal numbers for pictures that are told in the same words."""
        texts = self.some(pictures)
        first = {text: number for number, text in reversed(list(enumerate(texts)))}
        return torch.tensor([first[text] for text in texts])
