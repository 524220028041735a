"""How well captions fit pictures, as a captioner sees it: by the word that it would expect least."""

from __future__ import annotations

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
from sfumato.evaluation.data_check.looking import square
from sfumato.evaluation.features import TOGETHER
from sfumato.pipelines.language.captioning import CaptionModel, Seen
from sfumato.progress import Progress


class CaptionerAgreement:
    """How probable the least probable token of a caption is, with its picture and after the tokens before it, in nats.

    A caption that is wrong in one word is as probable on the whole as a true one that says much; but where the wrong
    word stands, another one is expected.

    Args:
        name: which captioner.
        model: it.
        seen: what it sees of all pictures.
        others: see `Agreement`.
        unseen: the numbers of pictures that could not be opened, of which it knows nothing.
    """

    def __init__(
        self, name: str, model: CaptionModel, seen: Seen, others: int = 16, unseen: Sequence[int] = ()
    ) -> None:
        self.name, self.others, self.unseen = name, others, tuple(unseen)
        self._model, self._seen = model, seen

    def __call__(self, pictures: Int64[Tensor, " n"], captions: Sequence[str]) -> Float[Tensor, " n"]:
        """A score of each pair of a picture, by its number, and a caption."""
        return self._model.scored(self._seen, pictures, captions, by_least=True)


def looked_at(
    model: CaptionModel, name: str, entries: Sequence[Entry], progress: Progress, workers: int
) -> CaptionerAgreement:
    """Let a captioner see pictures, numbered as they are given; one that cannot be opened is a plain one to it."""
    rows: list[Tensor] = []
    unseen: list[int] = []
    plain = np.zeros((3, model.side, model.side), np.uint8)
    progress.begin("captioner", len(entries))
    looked = enumerate(found for _, found in in_order(partial(square, side=model.side), entries, workers))
    while some := dict(islice(looked, TOGETHER)):
        unseen += [number for number, found in some.items() if isinstance(found, PictureError)]
        pictures = np.stack([plain if isinstance(found, PictureError) else found for found in some.values()])
        rows.append(model.see(to_tensor(pictures)).half())
        progress.advance(sum(map(len, rows)))
    return CaptionerAgreement(name, model, torch.cat(rows), unseen=unseen)
