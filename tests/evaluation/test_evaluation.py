"""The judge and the distances, on pictures whose truth is known."""

import pytest
import torch

from sfumato.data.digits import WORDS
from sfumato.data.store import prepare
from sfumato.errors import DataError
from sfumato.evaluation.novelty import nearest_distances
from sfumato.evaluation.recognition import train_judge


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return prepare("digits", 16, cache, split="train"), prepare("digits", 16, cache, split="test")


def test_a_judge_of_digits_knows_digits_it_never_saw(halves):
    train, held_out = halves
    judge = train_judge(train, size=16, steps=250)
    real = held_out.batch(torch.arange(len(held_out)))
    assert judge.accuracy(real, held_out.labels) >= 0.97
    assert judge.accuracy(real, held_out.labels[::-1]) < 0.5
    assert judge.classes == sorted(WORDS)
    assert judge.probabilities(real[:3]).sum(1) == pytest.approx(1, abs=1e-5)


def test_a_judge_needs_labels(halves):
    train, _ = halves
    blind = type(train)(train.pictures, train.captions, [None] * len(train), train.names, "", train.report)
    with pytest.raises(DataError, match="labelled"):
        train_judge(blind, size=16)


def test_copies_have_no_distance_and_strangers_have_some(halves):
    train, held_out = halves
    known = train.batch(torch.arange(200))
    distances, which = nearest_distances(known[50:60], known, size=16)
    assert torch.equal(which, torch.arange(50, 60))
    assert distances.max() < 1e-3
    assert nearest_distances(held_out.batch(torch.arange(50)), known, size=16)[0].min() > 0.01
