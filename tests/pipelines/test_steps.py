"""Spacings and tuned steps from the request to the picture's recipe."""

import json
import shutil

import numpy as np
import pytest

from sfumato.checkpoints.steps import FILE
from sfumato.errors import CheckpointError, PromptError
from sfumato.pipelines.finding import EMBEDDED
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.tuning import keep, known_prompts, tune_steps

SEVEN = "a handwritten seven"
PLAN = Request("", num_inference_steps=4)
QUICK = {"seed": 3, "num_inference_steps": 4, "upsampler_steps": 0}


def pixels(result):
    return np.asarray(result.pictures[0])


@pytest.fixture
def pipeline(tmp_path):
    return Pipeline.load(shutil.copytree(EMBEDDED / "digits", tmp_path / "model"), device="cpu")


@pytest.fixture(scope="module")
def found():
    return tune_steps(Pipeline.load("digits", device="cpu"), PLAN, [SEVEN, "3"], pictures=2, budget=320)


@pytest.fixture
def tuned(pipeline, found):
    keep(pipeline.model.folder / FILE, pipeline.model, PLAN, found)
    return found


def test_the_models_own_spacing_is_used_when_asked_for(pipeline):
    own = pixels(pipeline(SEVEN, **QUICK, spacing="own"))
    assert np.array_equal(own, pixels(pipeline(SEVEN, **QUICK, spacing="trailing")))
    assert np.array_equal(own, pixels(pipeline(SEVEN, **QUICK, spacing=None)))
    assert not np.array_equal(own, pixels(pipeline(SEVEN, **QUICK)))
    path = pipeline.model.folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"timestep_spacing": "linspace"}))
    other = Pipeline.load(pipeline.model.folder, device="cpu")
    linspace = pixels(pipeline(SEVEN, **QUICK, spacing="linspace"))
    assert np.array_equal(pixels(other(SEVEN, **QUICK, spacing="own")), linspace)
    assert not np.array_equal(own, linspace)


def test_a_picture_of_tuned_steps_is_made_again_whatever_becomes_of_the_file(pipeline, tuned):
    made = pipeline(SEVEN, **QUICK, spacing="tuned")
    assert made.recipes[0]["request"]["times"] == tuple(tuned.times.tolist())
    assert not np.array_equal(pixels(made), pixels(pipeline(SEVEN, **QUICK)))
    recipe = json.loads(json.dumps(made.recipes[0]))
    (pipeline.model.folder / FILE).unlink()
    assert np.array_equal(pixels(pipeline.replay(recipe)), pixels(made))
    assert pipeline.replay(recipe).recipes[0] == made.recipes[0]


def test_a_request_that_did_not_come_through_the_front_door_is_settled_too(pipeline, tuned):
    request = Request(SEVEN, **QUICK, spacing="tuned")
    for step in pipeline.run([request]):
        last = step
    assert np.array_equal(np.asarray(last.pictures()[0]), pixels(pipeline(SEVEN, **QUICK, spacing="tuned")))
    assert pipeline.recipe(request)["request"]["times"] == tuple(tuned.times.tolist())


def test_tuning_leaves_the_models_fingerprint_and_other_steps_as_they_were(pipeline, tuned):
    before = pipeline.model.fingerprint()
    other = Request("", num_inference_steps=4, solver="euler")
    keep(pipeline.model.folder / FILE, pipeline.model, other, tuned)
    assert pipeline.model.fingerprint() == before
    assert set(json.loads((pipeline.model.folder / FILE).read_text())) == {"unipc-2-4", "euler-4"}


def test_tuned_steps_come_closer_to_the_fine_picture(found):
    assert found.error < 0.98 * min(found.named.values())


def test_without_tuned_steps_the_message_says_how_to_make_them(pipeline, tuned):
    with pytest.raises(CheckpointError, match=r"unipc-2-5; there are unipc-2-4.*tune-steps \S*/model --steps 5"):
        pipeline(SEVEN, spacing="tuned", num_inference_steps=5)
    with pytest.raises(CheckpointError, match="no steps tuned for euler-4"):
        pipeline(SEVEN, spacing="tuned", num_inference_steps=4, solver="euler")
    with pytest.raises(CheckpointError, match=r"none\.json has no steps.*--out none\.json"):
        pipeline(SEVEN, spacing="none.json", num_inference_steps=4)


def test_steps_of_another_model_and_damaged_files_are_refused(pipeline, tuned):
    path = pipeline.model.folder / FILE
    good = json.loads(path.read_text())["unipc-2-4"]
    for change, said in [
        ({"model_fingerprint": "0" * 16}, "fingerprint"),
        ({"times": [1.0, 0.5]}, "4 numbers"),
        ({"times": "soon"}, "4 numbers"),
    ]:
        path.write_text(json.dumps({"unipc-2-4": good | change}))
        with pytest.raises(CheckpointError, match=said):
            pipeline(SEVEN, spacing="tuned", num_inference_steps=4)
    path.write_text(json.dumps({"unipc-2-4": good | {"times": [1.0, 0.5, 0.6, 0.2]}}))
    with pytest.raises(PromptError, match="times fall"):
        pipeline(SEVEN, spacing="tuned", num_inference_steps=4)
    path.write_text("{")
    with pytest.raises(CheckpointError, match="not readable JSON"):
        pipeline(SEVEN, spacing="tuned", num_inference_steps=4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"spacing": "magic"}, "magic.*trailing"),
        ({"spacing": 3}, "no spacing 3"),
        ({"times": [1.0, 0.5]}, "one for each of 3 steps"),
        ({"times": [1.0, 0.5, 0.5]}, "times fall"),
        ({"times": [1.0, 0.5, 0.0]}, "times fall"),
        ({"times": [1.2, 0.5, 0.1]}, "times fall"),
        ({"times": [1.0, float("nan"), 0.1]}, "times fall"),
        ({"times": "1 0.5 0.1"}, "numbers"),
        ({"times": [1.0, "half", 0.1]}, "numbers"),
    ],
)
def test_a_wrong_spacing_or_time_is_refused(settings, said):
    with pytest.raises(PromptError, match=said):
        Request(SEVEN, num_inference_steps=3, **settings)


def test_times_of_ones_own_take_the_place_of_a_spacing(pipeline):
    even = pixels(pipeline(SEVEN, **QUICK, times=[1.0, 0.75, 0.5, 0.25]))
    assert np.array_equal(even, pixels(pipeline(SEVEN, **QUICK, spacing="trailing")))
    assert not np.array_equal(even, pixels(pipeline(SEVEN, **QUICK, times=[1.0, 0.7, 0.5, 0.25])))


def test_words_of_the_captions_serve_as_prompts_without_those_of_every_caption(pipeline):
    words = known_prompts(pipeline.model, 10)
    assert len(words) == 10
    assert {"seven", "eight"} <= set(known_prompts(pipeline.model, 100))
    assert not {"a", "the", "digit"} & set(known_prompts(pipeline.model, 100))


def test_a_model_that_takes_no_steps_is_not_said_to_want_tuned_ones(pipeline):
    pipeline.way.takes = frozenset()
    with pytest.raises(PromptError, match="spacing does nothing"):
        pipeline(SEVEN, **QUICK, spacing="tuned")


def test_a_picture_replays_though_its_recipe_has_an_older_default_that_does_nothing(pipeline):
    made = pipeline(SEVEN, **QUICK)
    recipe = made.recipes[0] | {"request": made.recipes[0]["request"] | {"pull": 0.5}}
    assert np.array_equal(pixels(pipeline.replay(recipe)), pixels(made))


@pytest.mark.parametrize("guidance", ["cfg++", "apg"])
def test_guidance_that_looks_at_other_steps_cannot_be_tuned_to(pipeline, guidance):
    with pytest.raises(PromptError, match="depends on the steps"):
        tune_steps(pipeline, Request("", guidance=guidance), [SEVEN], 1, 1)


def test_tuning_needs_prompts(pipeline):
    with pytest.raises(PromptError, match="prompts"):
        tune_steps(pipeline, Request(""), [], 1, 1)
