"""How well captions fit pictures, as somebody sees it who knows both: a CLIP, a captioner."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

REMEMBERED = 50_000  # captions whose features are kept


class Agreement(Protocol):
    """Scores of pairs; higher where the caption fits better. The unit is its own, such as a log-probability.

    Attributes:
        name: who says so, for reports.
        others: with how many other captions and pictures a pair may be compared; few where a score is dear.
    """

    @property
    def name(self) -> str: ...

    @property
    def others(self) -> int: ...

    def __call__(self, pictures: Int64[Tensor, " n"], captions: Sequence[str]) -> Float[Tensor, " n"]:
        """A score of each pair of a picture, by its number, and a caption."""


class ClipAgreement:
    """Cosines of CLIP's features.

    Args:
        name: which CLIP.
        pictures: features of all pictures, kept at length 1.
        read: texts -> features in the same space.
        others: see `Agreement`.
    """

    def __init__(
        self,
        name: str,
        pictures: Float[Tensor, "n d"],
        read: Callable[[list[str]], Float[Tensor, "m d"]],
        others: int = 256,
    ) -> None:
        self.name, self.others = name, others
        self._pictures = F.normalize(pictures.float(), dim=1)
        self._read = read
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, pictures: Int64[Tensor, " n"], captions: Sequence[str]) -> Float[Tensor, " n"]:
        places = {text: place for place, text in enumerate(dict.fromkeys(captions))}
        which = torch.tensor([places[text] for text in captions], dtype=torch.int64)
        seen, rows = pictures.unique(return_inverse=True)
        texts = self._features(list(places))
        if len(seen) * len(texts) <= 2 * len(captions):
            return (self._pictures[seen] @ texts.T)[rows, which]
        return (self._pictures[pictures] * texts[which]).sum(1)

    def _features(self, texts: list[str]) -> Float[Tensor, "m d"]:
        new = [text for text in texts if text not in self._known]
        fresh = dict(zip(new, F.normalize(self._read(new).float(), dim=1) if new else (), strict=True))
        found = torch.stack([fresh[text] if text in fresh else self._known[text] for text in texts])
        self._known.update(fresh)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found
