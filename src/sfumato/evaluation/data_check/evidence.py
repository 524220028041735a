"""What speaks for the caption of a picture: its score beside those of other captions, other pictures, altered words.

A contrastive model's cosine times its scale estimates the pointwise mutual information of picture and caption, up to a
constant (van den Oord et al. 2018, section 2.3); a captioner's score, how probable its least probable token is, is used
like one, since the scores of the same caption with other pictures stand beside it. So the ratio of the probabilities
that a caption was written for a picture, or that it was written for another one, is its score less the logarithm of the
mean of the exponentials over what else might be: over the captions of the set, for a caption mistaken for another; over
captions that differ by a word, for one with a wrong fact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sfumato.evaluation.data_check.agreement import Agreement

SCALES = torch.logspace(-1, 2.5, 29)  # of scores; what is in natural logarithms already has 1
SHARES = (0.01, 0.1, 0.3, 0.5)  # of captions that fit no better than any
TOGETHER = 32_768  # pairs that are scored at once
AT_LEAST = 1e-9


@dataclass(frozen=True)
class Surroundings:
    """What pairs are compared with: captions and pictures of the same set, the same ones for all."""

    captions: tuple[str, ...]
    pictures: Int64[Tensor, " m"]


@dataclass(frozen=True)
class Evidence:
    """Of n pairs.

    Attributes:
        features: one row a pair: advantage over the set's captions, over the set's pictures, over altered captions on
            the whole and over the best of them, all in natural logarithms, and the score itself, scaled.
        better: for each pair the caption that fits best among those which fit better than its own; else None.
    """

    features: Float[Tensor, "n 5"]
    better: list[str | None]


def gathered(
    agreement: Agreement,
    pictures: Int64[Tensor, " n"],
    captions: Sequence[str],
    altered: Callable[[str], Sequence[str]],
    around: Surroundings,
    scale: float,
    progress: Callable[[int], None] = lambda done: None,
) -> Evidence:
    """What speaks for each pair of a picture and a caption.

    `altered` gives captions that differ from one by a word or so; where there are none, the advantage over them is that
    over the set's captions. `scale` is that of `fitted_scale`. `progress` is told how many pairs are done.
    """
    rows: list[Tensor] = []
    better: list[str | None] = []
    step = max(1, TOGETHER // max(1, len(around.captions)))
    for first in range(0, len(captions), step):
        some = slice(first, first + step)
        own = scale * agreement(pictures[some], captions[some])
        among = scale * _table(agreement, pictures[some], around.captions)
        elsewhere = scale * _table_of_captions(agreement, around.pictures, captions[some])
        several = [altered(caption) for caption in captions[some]]
        changed = scale * _ragged(agreement, pictures[some], several)
        by_set, by_pictures = own - _log_mean_exp(among), own - _log_mean_exp(elsewhere)
        none = changed.isneginf().all(1)
        by_change = torch.where(none, by_set, own - _log_mean_exp(changed))
        by_best = torch.where(none, by_set, own - changed.max(1).values)
        rows.append(torch.stack([by_set, by_pictures, by_change, by_best, own], 1))
        better += _better(own, changed, several, among, around.captions)
        progress(min(first + step, len(captions)))
    return Evidence(torch.cat(rows), better)


def fitted_scale(
    agreement: Agreement, pictures: Int64[Tensor, " n"], captions: Sequence[str], around: Surroundings
) -> float:
    """The scale at which the scores tell best which caption of the set is a picture's own.

    The likelihood is that of a mixture: some of the captions fit no better than any, so that lies do not spoil it.
    """
    own, among = agreement(pictures, captions), _table(agreement, pictures, around.captions)
    best, chosen = -torch.inf, 1.0
    spread = among.std().clamp(min=AT_LEAST)
    for scale in (SCALES / spread).tolist():
        ratio = (scale * own - _log_mean_exp(scale * torch.cat([among, own[:, None]], 1))).double().exp()
        for share in SHARES:
            likelihood = float(((1 - share) * ratio + share).clamp(min=AT_LEAST).log().mean())
            if likelihood > best:
                best, chosen = likelihood, scale
    return chosen


def _table(agreement: Agreement, pictures: Tensor, captions: Sequence[str]) -> Float[Tensor, "n m"]:
    """Each picture with each caption."""
    pairs = agreement(pictures.repeat_interleave(len(captions)), list(captions) * len(pictures))
    return pairs.view(len(pictures), len(captions))


def _table_of_captions(agreement: Agreement, pictures: Tensor, captions: Sequence[str]) -> Float[Tensor, "n m"]:
    """Each caption with each picture."""
    repeated = [caption for caption in captions for _ in range(len(pictures))]
    return agreement(pictures.repeat(len(captions)), repeated).view(len(captions), len(pictures))


def _ragged(agreement: Agreement, pictures: Tensor, several: Sequence[Sequence[str]]) -> Float[Tensor, "n most"]:
    """Each picture with captions of its own; minus infinity where it has fewer than others."""
    counts = torch.tensor([len(texts) for texts in several])
    table = torch.full((len(several), max(1, int(counts.max()))), -torch.inf)
    flat = [text for texts in several for text in texts]
    if flat:
        there = torch.arange(table.shape[1]) < counts[:, None]
        table[there] = agreement(pictures.repeat_interleave(counts), flat)
    return table


def _log_mean_exp(scores: Float[Tensor, "n m"]) -> Float[Tensor, " n"]:
    count = scores.isfinite().sum(1).clamp(min=1)
    return scores.logsumexp(1) - count.log()


def _better(
    own: Tensor, changed: Tensor, altered: Sequence[Sequence[str]], among: Tensor, captions: Sequence[str]
) -> list[str | None]:
    """What fits better: an altered caption before another one, since it says what is wrong."""
    found: list[str | None] = []
    in_changed, in_set = changed.max(1), among.max(1)
    for row, texts in enumerate(altered):
        if texts and in_changed.values[row] > own[row]:
            found.append(texts[int(in_changed.indices[row])])
        elif in_set.values[row] > own[row]:
            found.append(captions[int(in_set.indices[row])])
        else:
            found.append(None)
    return found
