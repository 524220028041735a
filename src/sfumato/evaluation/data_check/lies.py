"""Captions that lie: found by a judge who first learns, from lies made for trial, what a lie looks like in this set.

The set's own captions are told apart from captions made wrong on purpose: those of other pictures, and its own with a
word exchanged. That the set's own hold lies too changes no order (learning from positive and unlabelled examples: Elkan
and Noto 2008), and how many there are follows from where the two kinds overlap least.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sfumato.data.alterations import Alterations
from sfumato.evaluation.data_check.agreement import Agreement
from sfumato.evaluation.data_check.evidence import Evidence, Surroundings, fitted_scale, gathered
from sfumato.evaluation.data_check.regression import told_apart
from sfumato.seeds import derived_seed

LEAST = 40  # pairs from which anything can be said
REMEMBERED = 20_000  # captions whose alterations are kept
LEARNED = 10_000  # captions from which alterations are learned, at most
TRIED = 4000  # pairs of which lies are made for trial, at most
ALTERED = 16  # captions that differ by a word, for each pair
TRUSTED = 0.6  # of the captions, the least suspicious: lies for trial that are made of others are lies twice
LARGEST = 0.5  # share of lies beyond which a set cannot be judged by itself
SURE_ENOUGH = 0.7  # informedness from which a judge is believed who was not told how many lies there are
FALSE_ALARMS = 0.05  # at which what is found is told
EASY, HARD = "another picture's caption", "one word changed"


@dataclass(frozen=True)
class Judgement:
    """What was found among n pairs.

    Attributes:
        suspicion: of each pair; higher is worse, 0 for what is as likely a lie made for trial as a caption of the set.
        named: which pairs are called lies.
        better: a caption that fits better, where there is one.
        share: how many of the captions lie: as it was told, or estimated.
        found: the share of the lies made for trial that are found at 5 % false alarms, by their kind; estimated.
        believed: whether the judge tells lies of some kind from captions well enough to name any unasked.
    """

    suspicion: Float[Tensor, " n"]
    named: Bool[Tensor, " n"]
    better: list[str | None]
    share: float
    found: dict[str, float]
    believed: bool


def judged(
    agreements: Sequence[Agreement],
    pictures: Int64[Tensor, " n"],
    captions: Sequence[str],
    lies: float | None = None,
    altered: int = ALTERED,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Judgement | None:
    """Which captions lie about their pictures.

    Args:
        agreements: who sees how well a caption fits, one or more; each adds to what is known.
        pictures: the number of each pair's picture.
        captions: the caption of each pair.
        lies: the expected share of lies, 0 to 1: so many with the most against them are named. None: it is estimated,
            no more are named than accuse 5 % of the true ones, and none if the judge is too weak to tell.
        altered: captions that differ by a word, for each pair; more find more and take longer.
        seed: of all choices.
        progress: called with (pairs done, pairs in all), which are more than those given.

    Returns:
        The judgement; None for fewer than 40 pairs or two different captions.
    """
    if len(captions) < LEAST or len(set(captions)) < 2:
        return None
    known = Alterations.of(_chance(seed, "known").sample(captions, min(LEARNED, len(captions))))
    trial = made_up(pictures, captions, known, seed)
    if not trial.captions:
        return None
    total = len(agreements) * (len(captions) + len(trial.captions))

    @lru_cache(maxsize=REMEMBERED)
    def changes(text: str) -> list[str]:
        return known.altered(text, altered, _chance(seed, "altered", text))

    def advance(before: int, done: int) -> None:
        if progress:
            progress(before + done, total)

    evidence = [
        _of(agreement, pictures, captions, trial, changes, seed, partial(advance, before))
        for agreement, before in zip(agreements, range(0, total, total // len(agreements)), strict=True)
    ]
    suspicion = _suspicion(torch.cat([each.features for each in evidence], 1), len(captions), trial.kinds)
    better = [next(filter(None, options), None) for options in zip(*(each.better for each in evidence), strict=True)]
    own, wrong = suspicion[: len(captions)], suspicion[len(captions) :]
    made_of_truth = own[trial.sources] <= max(own.quantile(TRUSTED), own[trial.sources].min())
    kinds = [kind for kind, kept in zip(trial.kinds, made_of_truth.tolist(), strict=True) if kept]
    return _judgement(own, wrong[made_of_truth], kinds, better[: len(captions)], lies)


def _judgement(
    own: Float[Tensor, " n"],
    wrong: Float[Tensor, " m"],
    kinds: Sequence[str],
    better: list[str | None],
    lies: float | None,
) -> Judgement:
    """What follows from how suspicious the captions of the set and the lies made for trial are.

    Unasked a judge is heard in what it can tell: lies of the kinds that it finds.
    """
    of_kind = {kind: torch.tensor([each == kind for each in kinds]) for kind in dict.fromkeys(kinds)}
    told = [those for those in of_kind.values() if lies is not None or _is_told(own, wrong[those])]
    typical = wrong[torch.stack(told or list(of_kind.values())).any(0)]
    share = estimated_share(own, typical) if lies is None else lies
    believed = bool(told) and (lies is not None or share <= LARGEST)
    most, threshold = few_enough(own, typical, share)
    count = round(share * len(own)) if lies is not None else min(round(share * len(own)), most) if believed else 0
    named = torch.zeros(len(own), dtype=torch.bool)
    named[own.argsort(descending=True)[:count]] = True
    found = {kind: float((wrong[those] >= threshold).float().mean()) for kind, those in of_kind.items()}
    return Judgement(own, named, better, share, found, believed)


def _is_told(own: Float[Tensor, " n"], wrong: Float[Tensor, " m"]) -> bool:
    """Whether a kind of lies is told well enough from the captions of a set."""
    return informedness(own, wrong, estimated_share(own, wrong)) >= SURE_ENOUGH


@dataclass(frozen=True)
class Trial:
    """Pairs that are wrong on purpose, of which pairs they were made, and how."""

    sources: Int64[Tensor, " m"]
    pictures: Int64[Tensor, " m"]
    captions: list[str]
    kinds: list[str]


def made_up(pictures: Int64[Tensor, " n"], captions: Sequence[str], known: Alterations, seed: int) -> Trial:
    """Lies about some of the pictures, two each: the caption of another one, and its own with a word exchanged."""
    chance = _chance(seed, "trial")
    chosen = chance.sample(range(len(captions)), min(TRIED, len(captions)))
    places: list[int] = []
    texts: list[str] = []
    kinds: list[str] = []
    for place in chosen:
        other = captions[chance.randrange(len(captions))]
        if other != captions[place]:
            places.append(place)
            texts.append(other)
            kinds.append(EASY)
        for text in known.altered(captions[place], 1, chance):
            places.append(place)
            texts.append(text)
            kinds.append(HARD)
    sources = torch.tensor(places, dtype=torch.int64)
    return Trial(sources, pictures[sources], texts, kinds)


def _of(
    agreement: Agreement,
    pictures: Int64[Tensor, " n"],
    captions: Sequence[str],
    trial: Trial,
    changes: Callable[[str], list[str]],
    seed: int,
    progress: Callable[[int], None],
) -> Evidence:
    """The evidence of one who sees, of the set and the trial, beside captions and pictures of the set."""
    several = _chance(seed, "around").sample(range(len(captions)), min(len(captions), agreement.others))
    some, told = torch.tensor(several), [captions[place] for place in several]
    around = Surroundings(tuple(dict.fromkeys(told)), pictures[some].unique())
    scale = fitted_scale(agreement, pictures[some], told, around)
    both = torch.cat([pictures, trial.pictures]), [*captions, *trial.captions]
    return gathered(agreement, *both, changes, around, scale, progress)


def _suspicion(features: Float[Tensor, "n f"], own: int, kinds: Sequence[str]) -> Float[Tensor, " n"]:
    """The log-odds of a lie, which may be of either kind: each kind is told from the set's own captions by itself.

    So a judge who cannot see changed words, whose odds are then even, is no worse at seeing mistaken captions.
    """
    odds = []
    for kind in dict.fromkeys(kinds):
        of_kind = torch.tensor([False] * own + [each == kind for each in kinds])
        used = of_kind | (torch.arange(len(features)) < own)
        odds.append(told_apart(features, of_kind, used))
    return torch.stack(odds).logsumexp(0) - math.log(len(odds))


def estimated_share(own: Float[Tensor, " n"], wrong: Float[Tensor, " m"]) -> float:
    """At most how many of a set can be like what is wrong: the least quotient of their shares above any threshold.

    As many as that are lies if some lies are worse than any true caption (Blanchard, Lee and Scott 2010); rather fewer
    are told than there are. Thresholds above which six tenths to nearly all of the wrong are found count: among the
    very worst, chance decides who is first.
    """
    thresholds = wrong.quantile(torch.linspace(0.03, 0.4, 33))
    above = (own[:, None] > thresholds).float().mean(0)
    wrong_above = (wrong[:, None] > thresholds).float().mean(0)
    return float((above / wrong_above.clamp(min=1 / len(wrong))).min().clamp(0, 1))


def informedness(own: Float[Tensor, " n"], wrong: Float[Tensor, " m"], share: float) -> float:
    """The most that what is found exceeds the false alarms at any threshold, 0 to 1 (Youden 1950).

    `share` of `own` are lies themselves, which are no false alarms.
    """
    thresholds = wrong.quantile(torch.linspace(0, 1, 101))
    apart = ((wrong[:, None] > thresholds).float().mean(0) - (own[:, None] > thresholds).float().mean(0)).max()
    return min(1.0, float(apart) / max(1 - share, 1e-6))


def few_enough(own: Float[Tensor, " n"], wrong: Float[Tensor, " m"], share: float) -> tuple[int, float]:
    """How many of a set may be named, the worst first, until by estimate 5 % of the true are; the last one's value.

    `share` of the set are lies, of which above any threshold as many are found as of the wrong. (0, infinity) where the
    very first is too many.
    """
    worst = own.sort(descending=True).values
    above = torch.arange(1, len(own) + 1) / len(own)
    found = 1 - torch.searchsorted(wrong.sort().values, worst).double() / len(wrong)
    fine = (above - share * found <= FALSE_ALARMS * (1 - share)).nonzero()
    return (1 + int(fine.max()), float(worst[fine.max()])) if len(fine) else (0, math.inf)


def _chance(seed: int, *names: str) -> random.Random:
    return random.Random(derived_seed(seed, "lies", *names))
