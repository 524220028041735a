"""How well captions fit pictures, as a captioner sees it: how much likelier they are with them than without."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.data.ahead import in_order
from sfumato.data.entries import Entry
from sfumato.data.pictures import PictureError, to_tensor
from sfumato.evaluation.data_check.agreement import REMEMBERED
from sfumato.evaluation.data_check.looking import square
from sfumato.evaluation.features import TOGETHER
from sfumato.pipelines.language.captioning import CaptionModel, Seen
from sfumato.progress import Progress

STRANGERS = 8  # other pictures by which it is told how likely a caption is by itself


class CaptionerAgreement:
    """The pointwise mutual information of caption and picture, in nats: log p(caption | picture) - log p(caption).

    How likely a caption is by itself is the mean over some pictures of the set, always the same ones.

    Args:
        name: which captioner.
        model: it.
        seen: what it sees of all pictures.
        others: see `Agreement`.
    """

    def __init__(self, name: str, model: CaptionModel, seen: Seen, others: int = 16) -> None:
        self.name, self.others = name, others
        self._model, self._seen = model, seen
        self._strangers = torch.linspace(0, len(seen) - 1, min(STRANGERS, len(seen))).long()
        self._known: OrderedDict[str, float] = OrderedDict()

    def __call__(self, pictures: Int64[Tensor, " n"], captions: Sequence[str]) -> Float[Tensor, " n"]:
        """A score of each pair of a picture, by its number, and a caption."""
        if not captions:
            return torch.zeros(0)
        by_itself = self._by_itself(list(dict.fromkeys(captions)))
        told = self._model.scored(self._seen, pictures, captions)
        return told - torch.tensor([by_itself[text] for text in captions])

    def _by_itself(self, captions: list[str]) -> dict[str, float]:
        """The logarithm of each caption's probability, whatever the picture."""
        new = [text for text in captions if text not in self._known]
        fresh: dict[str, float] = {}
        if new:
            texts = [text for text in new for _ in self._strangers]
            told = self._model.scored(self._seen, self._strangers.repeat(len(new)), texts)
            mean = told.view(len(new), -1).logsumexp(1) - math.log(len(self._strangers))
            fresh = dict(zip(new, mean.tolist(), strict=True))
        found = {text: fresh[text] if text in fresh else self._known[text] for text in captions}
        self._known.update(fresh)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


def looked_at(
    model: CaptionModel, name: str, entries: Sequence[Entry], progress: Progress, workers: int
) -> CaptionerAgreement:
    """Let a captioner see pictures, numbered as they are given; one that cannot be opened is a plain one to it."""
    rows: list[Tensor] = []
    plain = np.zeros((3, model.side, model.side), np.uint8)
    progress.begin("captioner", len(entries))
    looked = (found for _, found in in_order(partial(square, side=model.side), entries, workers))
    while some := list(islice(looked, TOGETHER)):
        pictures = np.stack([plain if isinstance(found, PictureError) else found for found in some])
        rows.append(model.see(to_tensor(pictures)).half())
        progress.advance(sum(map(len, rows)))
    return CaptionerAgreement(name, model, torch.cat(rows))
