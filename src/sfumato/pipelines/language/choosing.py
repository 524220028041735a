"""From scores to a token: a random choice whose rules are temperature, top-k, top-p, min-p and a penalty of repetition.

The choice is a race (Gumbel 1954; Maddison et al. 2014, section 2): each token's score is handicapped by noise of its
own, and the highest wins. Scores that differ by a rounding error change the winner only where the race is nearly a
draw, and `Choice.sure` tells such races from the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sfumato.errors import PromptError

ROUNDING = 2e-5  # of the largest score: more than float32 loses on the way through a network, in whatever batch
FEW = 256  # scores that are sorted first, where all would seldom be needed


@dataclass(frozen=True)
class Sampling:
    """How freely tokens are chosen.

    Attributes:
        temperature: scores are divided by it; 0 always takes the highest, 1 is the model's own distribution.
        top_k: only so many of the highest scores are in the race; None for all.
        top_p: only the most probable tokens that together have this probability (Holtzman et al. 2020, section 3.1).
        min_p: only tokens at least this many times as probable as the most probable (Nguyen et al. 2024).
        repetition_penalty: what the scores of tokens already in the text are divided by, or multiplied by where they
            are negative (Keskar et al. 2019, section 4.1); 1 for none.

    Raises:
        PromptError: a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        _require(0 <= self.temperature <= 100, "temperature", self.temperature, "from 0 to 100")
        _require(self.top_k is None or self.top_k >= 1, "top_k", self.top_k, "at least 1")
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0, at most 1")
        _require(0 <= self.min_p <= 1, "min_p", self.min_p, "from 0 to 1")
        _require(0.01 <= self.repetition_penalty <= 100, "repetition_penalty", self.repetition_penalty, "0.01 to 100")

    @property
    def cuts(self) -> bool:
        """Whether some tokens are kept out of the race."""
        return self.temperature > 0 and (self.top_k is not None or self.top_p < 1 or self.min_p > 0)


class Choice(NamedTuple):
    """The winner of each row, and whether it would be the same if the scores were rounded otherwise."""

    tokens: Int[Tensor, " b"]
    sure: Bool[Tensor, " b"]


class _Floors(NamedTuple):
    """The lowest score in the race; above which one surely is, and below which surely not, however they are rounded."""

    exact: Float[Tensor, "b 1"]
    surely: Float[Tensor, "b 1"]
    perhaps: Float[Tensor, "b 1"]


@torch.inference_mode()
def choose(
    logits: Float[Tensor, "b v"],
    sampling: Sampling,
    noise: Float[Tensor, "b v"] | None = None,
    seen: Bool[Tensor, "b v"] | None = None,
) -> Choice:
    """Chooses a token for each row.

    Args:
        logits: scores of a network; softmax over v are the probabilities.
        sampling: the rules.
        noise: uniform numbers in [0, 1), float64, from each row's own generator; not needed at temperature 0.
        seen: the tokens that are in the text, for the penalty of repetition.
    """
    by, raw = sampling.repetition_penalty, logits.float()
    slack = ROUNDING * torch.maximum(raw.amax(1, keepdim=True), -raw.amin(1, keepdim=True))
    scores = _penalised(raw, by, seen)
    if seen is not None:
        slack = slack * max(by, 1 / by)
    if sampling.temperature == 0 or noise is None:
        return _won(scores, slack)
    scores, slack = scores / sampling.temperature, slack / sampling.temperature
    race = scores - (-torch.log1p(-noise)).log()  # the logarithm of an exponential variable
    if not sampling.cuts:
        return _won(race, slack)
    floors = _floors(scores, sampling, slack)
    exact, perhaps = (race.masked_fill(scores < floor, -torch.inf) for floor in (floors.exact, floors.perhaps))
    winner = _won(perhaps, slack)
    surely = scores.gather(1, winner.tokens[:, None]) > floors.surely
    return Choice(exact.argmax(1), surely[:, 0] & winner.sure)


def chances(
    logits: Float[Tensor, "b v"], sampling: Sampling, seen: Bool[Tensor, "b v"] | None = None
) -> Float[Tensor, "b v"]:
    """How probable it is that `choose` takes each token; 0 for those that the rules cut away."""
    scores = _penalised(logits, sampling.repetition_penalty, seen)
    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores)
    scores = scores / sampling.temperature
    if sampling.cuts:
        lowest = _floors(scores, sampling, torch.zeros_like(scores[:, :1])).exact
        scores = scores.masked_fill(scores < lowest, -torch.inf)
    return scores.softmax(1)


def _penalised(logits: Float[Tensor, "b v"], by: float, seen: Bool[Tensor, "b v"] | None) -> Float[Tensor, "b v"]:
    scores = logits.float()
    if by == 1 or seen is None:
        return scores
    return torch.where(seen, torch.where(scores > 0, scores / by, scores * by), scores)


def _won(race: Float[Tensor, "b v"], slack: Float[Tensor, "b 1"]) -> Choice:
    """The first of a race, and whether it leads by more than rounding could change."""
    best = race.max(1, keepdim=True)
    tokens = best.indices[:, 0]
    if race.shape[1] == 1:
        return Choice(tokens, torch.ones_like(tokens, dtype=torch.bool))
    second = race.scatter(1, best.indices, -torch.inf).amax(1, keepdim=True)
    return Choice(tokens, (best.values - second > 2 * slack)[:, 0])


def _floors(scores: Float[Tensor, "b v"], sampling: Sampling, slack: Float[Tensor, "b 1"]) -> _Floors:
    v = scores.shape[1]
    k = min(sampling.top_k or v, v)
    total = scores.logsumexp(1, keepdim=True) if k == v else None
    if k == v > FEW:
        ranked = scores.topk(FEW).values
        counts = [_count(ranked, FEW, total, sampling, margin) for margin in (0 * slack, -slack, slack)]
        if int(counts[2].max()) < FEW:
            return _at(ranked, counts, slack)
    ranked = scores.topk(min(k + 1, v)).values
    return _at(ranked, [_count(ranked, k, total, sampling, margin) for margin in (0 * slack, -slack, slack)], slack)


def _count(
    ranked: Float[Tensor, "b m"],
    k: int,
    total: Float[Tensor, "b 1"] | None,
    sampling: Sampling,
    margin: Float[Tensor, "b 1"],
) -> Int[Tensor, "b 1"]:
    """How many of the ranked scores are in the race, if rounding favours it by `margin`."""
    ranked = ranked[:, :k].double()
    inside = torch.ones_like(ranked, dtype=torch.bool)
    if sampling.top_p < 1:
        probable = (ranked - (ranked.logsumexp(1, keepdim=True) if total is None else total)).exp()
        inside &= probable.cumsum(1) - probable < sampling.top_p + 2 * margin
    if sampling.min_p > 0:
        inside &= ranked >= ranked[:, :1] + math.log(sampling.min_p) - 2 * margin
    return inside.sum(1, keepdim=True).clamp(min=1)


def _at(ranked: Float[Tensor, "b m"], counts: list[Int[Tensor, "b 1"]], slack: Float[Tensor, "b 1"]) -> _Floors:
    exact, fewest, most = counts
    out = torch.nn.functional.pad(ranked, (0, 1), value=-torch.inf)  # what comes after the last
    surely = out.gather(1, fewest) + 2 * slack
    return _Floors(ranked.gather(1, exact - 1), surely, ranked.gather(1, most - 1) - 2 * slack)


def _require(holds: bool, name: str, value: object, why: str) -> None:
    if not holds:
        raise PromptError(f"{name}={value!r} is out of its range: it is {why}.")
