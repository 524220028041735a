"""Prompts for boxes of a picture."""

import json

import numpy as np
import pytest
import torch

from sfumato.errors import PromptError
from sfumato.pipelines.regions import Region, maps
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline

LEFT, RIGHT = (0, 0, 0.5, 1), (0.5, 0, 1, 1)
QUICK = {"num_inference_steps": 4, "upsampler_steps": 0}


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load("digits", device="cpu")


def test_shares_sum_to_one_everywhere_and_fade_between_boxes():
    regions = [Region("one", LEFT), Region("two", (0.25, 0.25, 1, 0.75), 3)]
    one, two, rest = maps(regions, 32, 32)
    torch.testing.assert_close(one + two + rest, torch.ones_like(rest))
    assert one[0, 0, 16, 2] == 1
    assert rest[0, 0, 2, 30] == 1
    assert one[0, 0, 16, 12] == pytest.approx(0.25)
    assert 0 < one[0, 0, 2, 16] < 1


def test_half_a_weight_leaves_half_to_the_whole_picture():
    one, rest = maps([Region("one", LEFT, 0.5)], 8, 8)
    assert one[0, 0, 4, 0] == rest[0, 0, 4, 0] == 0.5


def test_a_region_of_the_whole_picture_with_its_own_prompt_changes_nothing_after_the_first_steps(pipeline, monkeypatch):
    monkeypatch.setattr("sfumato.pipelines.placing.ALONE", -1)
    plain = pipeline("a handwritten seven", seed=1, **QUICK).pictures[0]
    boxed = pipeline("a handwritten one", seed=1, regions=[("a handwritten seven", (0, 0, 1, 1))], **QUICK).pictures[0]
    assert np.abs(np.asarray(plain).astype(int) - np.asarray(boxed)).max() <= 2


def test_a_region_changes_what_is_in_it_most(pipeline):
    plain = np.asarray(pipeline("seven", seed=1, **QUICK).pictures[0]).astype(int)
    boxed = np.asarray(pipeline("seven", seed=1, regions=[("zero", LEFT)], **QUICK).pictures[0])
    change = np.abs(plain - boxed).mean((0, 2))
    assert change[:12].mean() > 2 * change[-12:].mean()


@pytest.mark.parametrize("guidance", ["cfg", "apg", "pag"])
def test_a_picture_with_regions_is_the_same_alone_and_in_a_batch(pipeline, guidance):
    settings = {**QUICK, "guidance": guidance, "regions": [("zero", LEFT), ("one", RIGHT, 0.5)]}
    batch = pipeline("seven", count=3, seed=1, **settings).pictures
    assert np.array_equal(batch[1], pipeline("seven", seed=2, **settings).pictures[0])


def test_regions_come_back_from_a_recipe_and_make_the_same_picture(pipeline):
    made = pipeline("seven", seed=1, regions=[("zero", LEFT, 2)], **QUICK)
    recipe = json.loads(json.dumps(made.recipes[0]))
    assert Request.from_dict(recipe["request"]).regions == (Region("zero", LEFT, 2),)
    assert np.array_equal(pipeline.replay(recipe).pictures[0], made.pictures[0])


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ("left", "a list"),
        ([("a cat",)], "Each region"),
        ([{"prompt": "a cat"}], "Each region"),
        ([("a cat", (0.5, 0, 0.5, 1))], "left < right"),
        ([("a cat", (0, 0, 2, 1))], "left < right"),
        ([("a cat", (0, 0, float("nan"), 1))], "left, top, right, bottom"),
        ([("a cat", LEFT, 0)], "would do nothing"),
        ([("a cat", LEFT, -1)], "weight of a region"),
        ([(3, LEFT)], "is a text"),
        ([("a cat", LEFT)] * 17, "at most 16"),
    ],
)
def test_what_is_no_region_is_refused(regions, said):
    with pytest.raises(PromptError, match=said):
        Request("a dog", regions=regions)


def test_a_way_without_places_refuses_regions():
    with pytest.raises(PromptError, match="regions does nothing with the model vectors"):
        Request("a dog", regions=[("a cat", LEFT)]).require({"solver"}, "vectors")
