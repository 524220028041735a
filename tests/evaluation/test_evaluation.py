"""The judge and the distances, on pictures whose truth is known."""

import time

import pytest
import torch

from sfumato.data.digits import WORDS
from sfumato.data.pictures import from_images
from sfumato.data.store import prepare
from sfumato.errors import DataError
from sfumato.evaluation.novelty import nearest_distances
from sfumato.evaluation.recognition import train_judge
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.training.train import train


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return prepare("digits", 16, cache, split="train"), prepare("digits", 16, cache, split="test")


@pytest.fixture(scope="module")
def judge(halves):
    return train_judge(halves[0], size=16, steps=250)


def test_a_judge_of_digits_knows_digits_it_never_saw(halves, judge):
    _, held_out = halves
    real = held_out.batch(torch.arange(len(held_out)))
    assert judge.accuracy(real, held_out.labels) >= 0.97
    assert judge.accuracy(real, held_out.labels[::-1]) < 0.5
    assert judge.classes == sorted(WORDS)
    assert judge.probabilities(real[:3]).sum(1) == pytest.approx(1, abs=1e-5)


def test_a_judge_needs_labels(halves):
    known, _ = halves
    blind = type(known)(known.pictures, known.captions, [None] * len(known), known.names, "", known.report)
    with pytest.raises(DataError, match="labelled"):
        train_judge(blind, size=16)


def test_copies_have_no_distance_and_strangers_have_some(halves):
    training, held_out = halves
    known = training.batch(torch.arange(200))
    distances, which = nearest_distances(known[50:60], known, size=16)
    assert torch.equal(which, torch.arange(50, 60))
    assert distances.max() < 1e-3
    assert nearest_distances(held_out.batch(torch.arange(50)), known, size=16)[0].min() > 0.01


PROMPTS = [f"a handwritten {word}" for word in WORDS]


def recognised(pipeline, judge, each, **settings):
    """The share of generated digits that the judge reads as they were asked for."""
    pipeline.pictures_a_pass = 32
    made = pipeline(PROMPTS, count=each, seed=0, **settings).pictures
    return judge.accuracy(from_images(made), [word for word in WORDS for _ in range(each)])


def test_the_embedded_model_writes_the_digits_it_is_asked_for(judge):
    assert recognised(Pipeline.load("digits", device="cpu"), judge, 10, num_inference_steps=10) >= 0.95


@pytest.mark.slow
def test_the_digits_recipe_trains_from_zero_in_ten_minutes_to_digits_that_are_recognised(judge, tmp_path):
    began = time.monotonic()
    pipeline = Pipeline.load(train("digits", tmp_path / "model"), device="cpu")
    assert time.monotonic() - began < 600  # on two cores with nothing else running
    assert recognised(pipeline, judge, 100) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["pixels", "experts", "cascade"])
def test_another_way_to_a_picture_trains_from_zero_to_digits_that_are_recognised(judge, tmp_path, recipe):
    pipeline = Pipeline.load(train("digits", tmp_path / "model", recipe), device="cpu")
    assert recognised(pipeline, judge, 50) >= 0.9
