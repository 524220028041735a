"""A trace tells what happened: the same picture, the numbers that made it, and where the network looked."""

import itertools

import numpy as np
import pytest
import torch

import tiny_models
from sfumato.errors import CheckpointError, PromptError
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.tracing import recording

PROMPT = "a photo of a cat"
QUICK = {"num_inference_steps": 3, "width": 32, "height": 24, "seed": 3}


@pytest.fixture(scope="module")
def digits():
    return Pipeline.load("digits", device="cpu")


@pytest.fixture(scope="module")
def seven(digits):
    return digits.trace("a handwritten seven", seed=3, num_inference_steps=5, upsampler_steps=2)


@pytest.mark.parametrize("name", ["stable", "xl", "sd3", "pixart", "flux"])
def test_every_family_is_traced_without_changing_its_picture(name, tmp_path):
    theirs = getattr(tiny_models, name)(tmp_path)
    theirs.save_pretrained(tmp_path / "model")
    pipeline = Pipeline.load(tmp_path / "model", device="cpu")
    trace = pipeline.trace(PROMPT, **QUICK)
    assert trace.picture.tobytes() == pipeline(PROMPT, **QUICK).pictures[0].tobytes()
    assert [word.text for word in trace.words] == PROMPT.split()
    assert [step.step for step in trace.steps] == [1, 2, 3]
    assert all(step.clean_picture.size == (32, 24) == step.noisy_picture.size for step in trace.steps)
    for layers in trace.looks.maps.values():
        for maps in layers.values():
            assert maps.shape[1] == 5
            assert 0 < maps.sum(1).max() <= 1.001
            assert np.ptp(maps[:, 4].astype(np.float32), axis=(1, 2)).max() > 0
    for layer, how in itertools.product((None, trace.layers[-1]), ("fitted", "daam")):
        seen = trace.attention("cat", layer=layer, how=how)
        assert seen.shape == (24, 32)
        assert seen.min() >= 0
        assert seen.max() == pytest.approx(1)
    network = pipeline.model.unet
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_the_numbers_of_a_step_are_those_that_made_it(digits, seven):
    scale = seven.request.scale
    for number, step in enumerate(seven.steps):
        noisy, clean, noise, good, bad = (
            part.astype(np.float32)
            for part in (step.noisy, step.clean, step.noise, step.conditional, step.unconditional)
        )
        assert np.allclose(noisy, step.alpha * clean + step.sigma * noise, atol=0.02)
        assert np.allclose(clean, bad + scale * (good - bad), atol=0.05)
        assert np.allclose(step.guidance, (scale - 1) * (good - bad), atol=0.05)
        assert step.guidance_norm == pytest.approx(np.sqrt(np.square(step.guidance.astype(np.float32)).mean()))
        assert (step.alpha, step.sigma) == (seven.levels.alpha[number], seven.levels.sigma[number])
    with torch.inference_mode():
        small = digits.way.decode(torch.from_numpy(seven.final.astype(np.float32))[None])
    assert float((small - digits.way.decode(torch.from_numpy(clean)[None])).abs().mean()) < 0.2


def test_curves_fall_from_noise_to_the_clean(seven):
    levels = seven.levels
    assert len(levels.alpha) == 6
    assert (np.diff(levels.log_snr[1:-1]) > 0).all()
    assert levels.log_snr[-1] == np.inf
    assert len(levels.step_size) == 5
    assert levels.step_size.sum() == pytest.approx(levels.sigma[0] / (levels.alpha[0] + levels.sigma[0]))


def test_a_trace_makes_the_picture_of_its_recipe(digits, seven):
    assert digits.replay(seven.recipe).pictures[0].tobytes() == seven.picture.tobytes()


def test_without_guidance_the_prompt_alone_is_told(digits):
    trace = digits.trace("a three", seed=1, num_inference_steps=2, upsampler_steps=0, guidance_scale=1.0)
    for step in trace.steps:
        assert step.unconditional is None
        assert step.guidance_picture is None
        assert step.guidance_norm == 0
        assert np.array_equal(step.clean, step.conditional)


@pytest.mark.parametrize("guidance", ["pag", "apg", "cfg++"])
@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_other_guidance_and_solvers_are_traced_a_look_a_step(digits, guidance, solver):
    settings = {"num_inference_steps": 3, "upsampler_steps": 0, "guidance": guidance, "solver": solver}
    if solver == "heun" and guidance != "pag":
        settings["solver"] = "dpmpp-2m" if guidance == "apg" else "euler"
    trace = digits.trace("a three", seed=1, **settings)
    assert [step.step for step in trace.steps] == [1, 2, 3] == sorted(trace.looks.maps)
    assert all(step.unconditional is not None for step in trace.steps)


def test_of_many_steps_some_are_kept_evenly(digits, monkeypatch):
    monkeypatch.setattr(recording, "MOST_KEPT", 4)
    trace = digits.trace("a three", seed=1, num_inference_steps=10, upsampler_steps=0)
    assert [step.step for step in trace.steps] == [1, 4, 7, 10] == sorted(trace.looks.maps)
    assert len(trace.levels.alpha) == 11
    assert trace.path().shape == (1, 5, 2)
    with pytest.raises(PromptError, match="Step 2 is not among those"):
        trace.attention("three", step=2)


def test_maps_take_a_bounded_part_of_memory(digits):
    layers = len(recording.attentions(digits.model.unet))
    for words, steps in ((3, 1), (20, 20), (2000, 32)):
        groups, side = recording.affordable(digits.model.unet, words, steps)
        assert 2 * groups * layers * words * steps * side**2 <= recording.MOST_BYTES


def test_branches_of_and_have_words_of_their_own(digits):
    trace = digits.trace("a three AND a seven :0.8", seed=1, num_inference_steps=2, upsampler_steps=0)
    assert [(word.text, word.branch) for word in trace.words] == [("a", 0), ("three", 0), ("a", 1), ("seven", 1)]
    alone = digits.trace("a three", seed=1, num_inference_steps=2, upsampler_steps=0)
    for name, maps in trace.looks.maps[1].items():
        assert (maps.mean((2, 3)) > 0).all()
        assert np.allclose(maps[:, :2], alone.looks.maps[1][name], atol=1e-3)


def test_the_ways_of_several_seeds_lie_in_one_plane_and_keep_their_distances(digits, seven):
    other = digits.trace("a handwritten seven", seed=4, num_inference_steps=5, upsampler_steps=0)
    ways = seven.path([other])
    assert ways.shape == (2, 6, 2)
    assert np.allclose(ways.reshape(-1, 2).mean(0), 0, atol=1e-4)
    apart = np.linalg.norm(seven.way[0] - other.way[0])
    assert 0 < np.linalg.norm(ways[0, 0] - ways[1, 0]) <= apart * 1.0001
    short = digits.trace("a handwritten seven", seed=4, num_inference_steps=4, upsampler_steps=0)
    with pytest.raises(PromptError, match="as many steps"):
        seven.path([short])


def test_a_word_less_is_another_picture_of_the_same_seed(digits, seven):
    less = digits.without(seven, "seven")
    assert less.request.prompt == "a handwritten"
    assert less.request.seed == seven.request.seed
    assert np.array_equal(less.steps[0].noisy, seven.steps[0].noisy)
    changed = np.abs(np.asarray(seven.difference(less), np.int16) - 128)
    assert changed.max() > 20
    same = digits.replaced(seven, "handwritten seven", "handwritten seven")
    assert same.picture.tobytes() == seven.picture.tobytes()


@pytest.mark.parametrize(
    ("prompt", "word", "other", "said"),
    [
        ("a (red:1.3) cat", "red", "", "a cat"),
        ("a ((red)) cat", 1, "", "a cat"),
        ("a (red:1.3) cat", "red", "blue", "a (blue:1.3) cat"),
        ("a cat AND a dog", "a dog", "", "a cat AND"),
        ("a red cat", "red cat", "dog", "a dog"),
    ],
)
def test_prompts_are_reworded_with_their_brackets(digits, seven, prompt, word, other, said, monkeypatch):
    from dataclasses import replace

    from sfumato.pipelines.tracing.effects import reworded
    from sfumato.pipelines.tracing.words import words_of

    request = replace(seven.request, prompt=prompt)
    trace = replace(seven, request=request, words=words_of(digits.model, prompt, request.reading))
    assert reworded(trace, word, other) == said


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"word": "nine"}, "no word 'nine'"),
        ({"word": 99}, "no word 99"),
        ({"word": -1}, "no word -1"),
        ({"word": 0, "step": 9}, "Step 9"),
        ({"word": 0, "layer": "none"}, "no layer 'none'"),
        ({"word": 0, "heads": 99}, "heads is a group"),
        ({"word": 0, "how": "well"}, "how is one of"),
    ],
)
def test_what_is_not_there_is_refused_by_name(seven, asked, message):
    with pytest.raises(PromptError, match=message):
        seven.attention(**asked)


def test_a_trace_of_another_model_is_not_reworded(digits, seven):
    from dataclasses import replace

    other = replace(seven, recipe={**seven.recipe, "model_fingerprint": "0" * 16})
    with pytest.raises(CheckpointError, match="fingerprint"):
        digits.without(other, 0)
