"""Variations of pictures, and strips between them."""

import json

import numpy as np
import pytest
from PIL import Image

from sfumato.errors import PromptError
from sfumato.pipelines.keepsake import read_recipe, save_picture
from sfumato.pipelines.marks.verifying import verify
from sfumato.pipelines.marks.writing import Marks
from sfumato.pipelines.replaying import remade
from sfumato.pipelines.request import Request
from sfumato.pipelines.strips import save_strip, strip
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.varying import variations

SEVEN = "a handwritten seven"
QUICK = {"num_inference_steps": 3, "upsampler_steps": 0}


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load("digits", device="cpu")


def difference(one, other):
    return np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean()


def test_more_of_another_seeds_noise_is_another_picture_and_all_of_it_is_its_own(pipeline):
    plain, other = (pipeline(SEVEN, seed=seed, **QUICK).pictures[0] for seed in (1, 9))
    varied = [pipeline(SEVEN, seed=1, variation=v, variation_seed=9, **QUICK).pictures[0] for v in (0.1, 0.5, 1.0)]
    near, middle, far = (difference(plain, picture) for picture in varied)
    assert 0 < near < middle < far
    assert difference(varied[2], other) < 0.01


def test_variations_keep_the_seed_and_count_on_the_other(pipeline):
    batch = pipeline(SEVEN, seed=1, count=3, variation=0.2, variation_seed=5, **QUICK)
    told = [(recipe["request"]["seed"], recipe["request"]["variation_seed"]) for recipe in batch.recipes]
    assert told == [(1, 5), (1, 6), (1, 7)]
    alone = pipeline(SEVEN, seed=1, variation=0.2, variation_seed=7, **QUICK).pictures[0]
    assert np.array_equal(batch.pictures[2], alone)


def test_a_picture_that_was_made_here_is_varied_by_its_recipe(pipeline, tmp_path):
    made = pipeline(SEVEN, seed=1, **QUICK)
    made.save([tmp_path / "seven.png"])
    requests = variations(pipeline, tmp_path / "seven.png", 2, 0.1, 4)
    assert [(one.prompt, one.seed, one.variation_seed, one.picture) for one in requests] == [
        (SEVEN, 1, 4, None),
        (SEVEN, 1, 5, None),
    ]
    assert requests == variations(pipeline, made.recipes[0], 2, 0.1, 4)
    assert requests[0] == variations(pipeline, requests[1], 1, 0.1, 4)[0]
    result = pipeline.variations(made, 1, 0.1, 4)
    assert 0 < difference(result.pictures[0], made.pictures[0]) < 20


def test_any_other_picture_is_painted_over_by_the_amount(pipeline):
    (request,) = variations(pipeline, Image.new("RGB", (32, 32)), 1, 0.4, 4, prompt=SEVEN)
    assert (request.strength, request.prompt, request.variation) == (0.4, SEVEN, 0)
    with pytest.raises(PromptError, match="another model"):
        variations(pipeline, {"model_fingerprint": "0" * 16, "request": {"prompt": "x"}}, 1, 0.4)


def test_a_picture_that_does_not_tell_its_words_or_had_a_lora_is_painted_over(pipeline, tmp_path):
    made, private, styled = pipeline(SEVEN, seed=1, **QUICK), tmp_path / "private.png", tmp_path / "styled.png"
    made.save([private], Marks(private=True))
    lora = {"file": "style.safetensors", "sha256": "0" * 64, "weight": 1.0}
    save_picture(made.pictures[0], styled, {**made.recipes[0], "additions": {"loras": [lora]}})
    for path in (private, styled):
        (request,) = variations(pipeline, path, 1, 0.4, 4)
        assert (request.strength, request.picture.path) == (0.4, str(path))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"variation": 0.5}, "takes a variation_seed"),
        ({"variation_seed": 5}, "variation_seed does nothing"),
        ({"variation": 1.5, "variation_seed": 5}, "variation is a number from 0 to 1"),
        ({"variation": 0.5, "variation_seed": -1}, "variation_seed is a whole number"),
    ],
)
def test_a_wrong_variation_is_refused(settings, said):
    with pytest.raises(PromptError, match=said):
        Request(SEVEN, **settings)


def test_a_setting_that_there_is_not_is_refused(pipeline):
    for varied in (Request(SEVEN), Image.new("RGB", (8, 8))):
        with pytest.raises(PromptError, match=r"no such setting.*'flavour'"):
            variations(pipeline, varied, 1, 0.4, flavour=3)


def test_an_amount_of_nothing_is_refused(pipeline):
    with pytest.raises(PromptError, match="nothing to vary"):
        variations(pipeline, Image.new("RGB", (8, 8)), 1, 0.0)


def test_a_strip_goes_evenly_through_all_prompts_and_seeds(pipeline):
    requests = strip(pipeline, ["zero", "one", "two"], 5, [7, 8])
    assert [(r.prompt, r.mix, r.seed, r.variation) for r in requests] == [
        ("zero", (), 7, 0),
        ("zero", (("one", 0.5),), 7, 0.25),
        ("one", (), 7, 0.5),
        ("one", (("two", 0.5),), 7, 0.75),
        ("two", (), 8, 0),
    ]


def test_the_ends_of_a_strip_are_pictures_of_their_own(pipeline):
    made = pipeline.strip(["zero", "one"], 3, (1, 2), **QUICK)
    for end, prompt, seed in ((0, "zero", 1), (-1, "one", 2)):
        assert np.array_equal(made.pictures[end], pipeline(prompt, seed=seed, **QUICK).pictures[0])
    assert difference(made.pictures[1], made.pictures[0]) > 1
    assert np.array_equal(pipeline.replay(made.recipes[1]).pictures[0], made.pictures[1])


@pytest.mark.parametrize(
    ("prompts", "frames", "seeds", "settings", "said"),
    [
        (["one"], 3, [1], {}, "give two"),
        (["one", "two", "three"], 2, [1], {}, "frames is a whole number from 3"),
        (["one", "two"], 3, [1], {"variation": 0.5}, "leave variation out"),
        (["one"] * 17, 20, [1], {}, "at most 16"),
    ],
)
def test_a_strip_that_goes_nowhere_is_refused(pipeline, prompts, frames, seeds, settings, said):
    with pytest.raises(PromptError, match=said):
        strip(pipeline, prompts, frames, seeds, **settings)


def test_a_strip_is_a_sheet_or_moves_and_can_be_made_again(pipeline, tmp_path):
    made = pipeline.strip(["zero", "one"], 3, (1,), **QUICK)
    sheet, moving, gif = (tmp_path / name for name in ("sheet.png", "moving.png", "moving.gif"))
    save_strip(made.pictures, sheet, made.recipes)
    save_strip(made.pictures, moving, made.recipes, moving=True)
    save_strip(made.pictures, gif, made.recipes)
    with Image.open(sheet) as row, Image.open(moving) as one, Image.open(gif) as other:
        assert row.size == (3 * 32 + 4, 32)
        assert one.n_frames == other.n_frames == 4
        again, recipe = remade(pipeline, read_recipe(sheet))
        assert np.array_equal(again, row)
    assert json.loads(json.dumps(recipe)) == read_recipe(sheet)
    for path in (sheet, moving, gif):
        verdict = verify(path.read_bytes())
        assert "XMP: digital source type trainedAlgorithmicMedia" in verdict.marks
        assert verdict.exit_code == 0
