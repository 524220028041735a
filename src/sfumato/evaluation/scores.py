"""All measures of made pictures beside real ones, and of real ones beside other real ones: what can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sfumato.evaluation.clip_score import clip_scores
from sfumato.evaluation.coverage import NEIGHBOURS, coverage
from sfumato.evaluation.discrepancy import cmmd, kid
from sfumato.evaluation.diversity import diversity
from sfumato.evaluation.features import FeatureNetwork
from sfumato.evaluation.frechet import frechet_distance
from sfumato.evaluation.novelty import nearest_distances

SMALL = 32  # pixels a side at which pictures are looked for among others
SEEDS = 4  # pictures of one prompt, for diversity

Scores = dict[str, float]


class Seen(NamedTuple):
    """What is kept of pictures: their features, and themselves small."""

    features: Float[Tensor, "n d"]
    small: Float[Tensor, "n 3 32 32"]


def seen(batches: Iterable[Float[Tensor, "b 3 h w"]], network: FeatureNetwork) -> Seen:
    """Look at pictures in [-1, 1], a few at a time, so that large ones need not be there together."""
    features, small = [], []
    for pictures in batches:
        features.append(network(pictures))
        small.append(made_small(pictures))
    return Seen(torch.cat(features), torch.cat(small))


def made_small(pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 32 32"]:
    """As `nearest_distances` compares them."""
    return F.interpolate(pictures, size=(SMALL, SMALL), mode="bilinear", antialias=True, align_corners=False)


def set_scores(some: Float[Tensor, "n d"], real: Float[Tensor, "m d"]) -> Scores:
    """Of a set of features beside that of real pictures; DataError when there are too few."""
    near = coverage(some, real)
    return {
        "frechet": frechet_distance(some, real),
        "cmmd": cmmd(some, real),
        "kid": kid(some, real),
        "precision": near.precision,
        "recall": near.recall,
    }


def reachable_scores(known: Float[Tensor, "m d"], real: Float[Tensor, "n d"]) -> Scores:
    """The same of equally many other real pictures; none when there are not as many."""
    return set_scores(known[: len(real)], real) if len(known) >= len(real) > NEIGHBOURS else {}


def word_score(features: Float[Tensor, "n d"], captions: Sequence[str], network: FeatureNetwork) -> Scores:
    """How well pictures fit their captions; nothing by a network that knows no words."""
    texts = network.of_texts(captions)
    return {} if texts is None else {"clip_score": clip_scores(features, texts).mean().item()}


def novelty_scores(small: Float[Tensor, "n 3 s s"], known: Float[Tensor, "m 3 s s"]) -> Scores:
    """How far pictures are from the nearest known ones; nothing when none is known."""
    if not len(known):
        return {}
    distances, _ = nearest_distances(small, known, SMALL)
    return {"nearest": distances.median().item(), "nearest_least": distances.min().item()}


def diversity_scores(groups: Sequence[Float[Tensor, "k d"]]) -> Scores:
    """How different the first four pictures of each group are; nothing when no group has as many."""
    whole = [group[:SEEDS] for group in groups if len(group) >= SEEDS]
    return dict(zip(("diversity", "different"), diversity(torch.stack(whole)), strict=True)) if whole else {}
