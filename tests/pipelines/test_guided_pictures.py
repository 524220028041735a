"""Guided and mixed pictures, with the embedded digits model: from the request to the pixels and back."""

import json
import re

import numpy as np
import pytest
import torch

from sfumato.diffusion.mixing import spherical
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import last, sample
from sfumato.diffusion.solvers import euler
from sfumato.diffusion.times import timetable
from sfumato.errors import PromptError
from sfumato.networks.unet import UNet
from sfumato.pipelines.condition import Condition, mixed, together
from sfumato.pipelines.denoising import asked_for, prompted
from sfumato.pipelines.likeness import likeness
from sfumato.pipelines.request import GUIDANCE, MIXTURES, Request
from sfumato.pipelines.text_to_image import Pipeline, PromptWarning
from sfumato.pipelines.ways.way import Batch
from sfumato.pipelines.weighting import Reading

ONE, SEVEN = "a handwritten one", "a handwritten seven"
QUICK = {"num_inference_steps": 3, "upsampler_steps": 0}

KINDS = {
    **{kind: {"guidance": kind} for kind in GUIDANCE},
    "rescaled": {"guidance_rescale": 0.7},
    "rescaled apg": {"guidance": "apg", "guidance_rescale": 0.5},
    "interval": {"guidance_interval": (0.5, 3.0)},
    "negative": {"negative_prompt": SEVEN},
    **{how: {"mix": ((SEVEN, 0.5),), "mix_how": how} for how in MIXTURES},
    "branches without guidance": {"mix": ((SEVEN, 0.5),), "mix_how": "branches", "guidance_scale": 1.0},
    "mixed pag": {"mix": ((SEVEN, 0.5),), "mix_how": "branches", "guidance": "pag"},
    "mixed clip": {"mix": ((SEVEN, 0.3), ("the digit 3", 0.3)), "guidance": "clip"},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load("digits", device="cpu")


def pixels(picture):
    return np.asarray(picture)


@each_kind
def test_every_kind_gives_a_picture_that_is_its_own_in_any_batch_and_after_a_replay(pipeline, kind):
    settings = {**QUICK, **KINDS[kind]}
    batch = pipeline(ONE, count=3, seed=4, **settings)
    alone = pipeline(ONE, seed=5, **settings).pictures[0]
    recipe = json.loads(json.dumps(batch.recipes[1]))
    again = pipeline.replay(recipe).pictures[0]
    assert np.array_equal(pixels(batch.pictures[1]), pixels(alone))
    assert np.array_equal(pixels(alone), pixels(again))
    assert Request.from_dict(recipe["request"]) == Request(ONE, 5, **settings)


def test_every_kind_makes_another_picture(pipeline):
    made = {kind: pixels(pipeline(ONE, seed=5, **QUICK, **settings).pictures[0]) for kind, settings in KINDS.items()}
    made["none"] = pixels(pipeline(ONE, seed=5, **QUICK, guidance_scale=1.0).pictures[0])
    assert len({picture.tobytes() for picture in made.values()}) == len(made)


def test_recipes_from_before_these_settings_make_the_same_request():
    old = {"prompt": ONE, "seed": 3, "num_inference_steps": 5, "guidance_scale": 4.0, "solver": "euler"}
    before = {"spacing": "own", "prompt_syntax": "diffusers", "tiles": "never"}
    assert Request.from_dict(old) == Request(ONE, 3, 5, solver="euler", **before)
    assert Request(ONE).guidance_scale == 4.0
    assert Request(ONE, guidance="cfg++").guidance_scale == GUIDANCE["cfg++"]


def test_plain_guidance_is_bit_equal_to_the_prompted_denoiser(pipeline):
    model, plan = pipeline.model, Request(ONE, guidance_scale=3.0)
    noisy, levels = torch.randn(2, 4, 8, 8), timetable(model.diffusion.process, 4)
    with torch.inference_mode():
        states = pipeline.way.encode([ONE, SEVEN])
        encode = lambda text, _=False: pipeline.way.encode([text])[0][0]  # noqa: E731
        asked = asked_for(model.unet, model.diffusion, states, encode, plan, levels)
        assert torch.equal(
            asked(noisy, levels[1]),
            prompted(model.unet, model.diffusion, states[0][0], encode(""), 3.0)(noisy, levels[1]),
        )


def passes_of(pipeline, monkeypatch, **settings):
    """How many samples each forward pass of the U-Net held."""
    seen, forward = [], UNet.forward

    def watched(self, sample, *arguments, **more):
        if sample.shape[1] == 4:  # the denoiser of latents, not the upsampler
            seen.append(len(sample))
        return forward(self, sample, *arguments, **more)

    monkeypatch.setattr(UNet, "forward", watched)
    pipeline(ONE, seed=1, **{**QUICK, **settings})
    return seen


def test_outside_the_interval_nothing_is_spent_on_guidance(pipeline, monkeypatch):
    assert passes_of(
        pipeline, monkeypatch, num_inference_steps=6, spacing="trailing", guidance_interval=(0.5, 3.0)
    ) == [1, 1, 2, 2, 2, 1]


def test_all_branches_of_a_mixture_share_a_pass_and_paths_cost_nothing(pipeline, monkeypatch):
    mix = ((SEVEN, 0.3), ("the digit 3", 0.2))
    assert passes_of(pipeline, monkeypatch, mix=mix, mix_how="branches") == [4, 4, 4]
    assert passes_of(pipeline, monkeypatch, mix=mix, mix_how="spherical") == [2, 2, 2]


@pytest.mark.parametrize("tokens", [5, 16, 77])
def test_mixed_words_are_the_same_to_the_bit_beside_a_longer_prompt(tokens):
    words = torch.randn(2, 1, tokens, 32, generator=torch.Generator().manual_seed(0))
    longer = Condition(torch.randn(1, 2 * tokens, 32))
    [alone] = mixed([Condition(each) for each in words], spherical, [0.6, 0.4]).states
    batch = mixed([together([Condition(each), longer]) for each in words], spherical, [0.6, 0.4])
    assert torch.equal(batch.states[0, :tokens], alone)
    assert batch.mask[0].tolist() == [True] * tokens + [False] * tokens


def test_branches_are_the_weighted_sum_of_single_prompts_and_the_ends_are_the_prompts(pipeline):
    model, levels = pipeline.model, timetable(pipeline.model.diffusion.process, 4)
    noisy = torch.randn(2, 4, 8, 8)

    def denoised(prompt, **settings):
        encode = lambda text, _=False: pipeline.way.encode([text])[0][0]  # noqa: E731
        plan = Request(prompt, **settings)
        states = pipeline.way.encode([prompt] * 2)
        return asked_for(model.unet, model.diffusion, states, encode, plan, levels)(noisy, levels[1])

    with torch.inference_mode():
        one, seven = denoised(ONE), denoised(SEVEN)
        branches = denoised(ONE, mix=((SEVEN, 0.3),), mix_how="branches")
        assert torch.allclose(branches, 0.7 * one + 0.3 * seven, atol=1e-5)
        for how in MIXTURES:
            assert torch.allclose(denoised(ONE, mix=((SEVEN, 0.0),), mix_how=how), one, atol=1e-4)
            assert torch.allclose(denoised(ONE, mix=((SEVEN, 1.0),), mix_how=how), seven, atol=1e-4)


def test_ddim_with_cfg_plus_plus_is_the_update_of_the_paper_on_the_real_network(pipeline):
    model, levels = pipeline.model, timetable(pipeline.model.diffusion.process, 4)
    noise = per_sample_noise([3])
    start = noise(torch.empty(1, 4, 8, 8)) * levels.spread[0].item()
    plan = Request(ONE, num_inference_steps=4, guidance="cfg++", guidance_scale=0.6, solver="euler", spacing="own")
    with torch.inference_mode():
        found = last(pipeline.way.denoise(pipeline.way.encode([ONE]), Batch([ONE], [3], 32, 32, plan, 1)))
        good, bad = (
            prompted(
                model.unet, model.diffusion, pipeline.way.encode([text])[0][0], pipeline.way.encode([""])[0][0], 1.0
            )
            for text in (ONE, "")
        )
        noisy = start
        for step in range(4):
            here, there = levels[step].like(noisy), levels[step + 1].like(noisy)
            away = bad(noisy, levels[step])
            clean = away + 0.6 * (good(noisy, levels[step]) - away)
            noisy = there.alpha * clean + there.sigma * (noisy - here.alpha * away) / here.sigma
        plain = last(sample(good, start, levels, noise, euler))
    assert torch.allclose(found, noisy, atol=1e-3)
    assert not torch.allclose(found, plain, atol=1e-1)


def test_guidance_by_clip_makes_pictures_more_like_their_prompt(pipeline):
    prompts = [ONE, SEVEN, "the digit 3", "a handwritten zero"]
    alike = likeness(pipeline.model, prompts, pipeline.way.decode, pictures_a_pass=2)

    def how_alike(scale):
        plan = Request("", num_inference_steps=6, guidance="clip", guidance_scale=scale)
        with torch.inference_mode():
            latents = last(
                pipeline.way.denoise(pipeline.way.encode(prompts), Batch(prompts, range(4), 32, 32, plan, 1))
            )
        return alike(latents)

    assert (how_alike(4.0) > how_alike(1.0)).all()
    assert (how_alike(-4.0) < how_alike(1.0)).all()


def test_clip_hears_the_words_of_a_prompt_and_no_syntax(pipeline):
    settings = {"seed": 1, "guidance": "clip", "guidance_scale": 5.0, **QUICK}
    plain, weighed = (pixels(pipeline(text, **settings).pictures[0]) for text in (SEVEN, "a handwritten (seven:1.0)"))
    assert np.array_equal(plain, weighed)
    text = {"diffusers": "a handwritten (seven:1.0)", "sfumato": "a handwritten \\(seven:1.0\\)"}
    literal = [pixels(pipeline(text[name], prompt_syntax=name, **settings).pictures[0]) for name in text]
    assert np.array_equal(*literal)
    assert not np.array_equal(plain, literal[0])


def test_clip_hears_what_a_prompt_says_at_a_step_and_each_of_its_branches(pipeline):
    latents = torch.randn(1, pipeline.way.channels, 4, 4, generator=torch.Generator().manual_seed(0))

    def alike(text, **reading):
        return likeness(pipeline.model, [text], pipeline.way.decode, reading=Reading(**reading))(latents).item()

    changing = [alike("[one:seven:0.5]", profile="a1111", step=step, steps=4) for step in (0, 3)]
    assert changing == [alike("one"), alike("seven")]
    assert alike("one AND seven :0.5") == pytest.approx(alike("one") + 0.5 * alike("seven"), rel=1e-5)


def test_a_model_without_an_image_encoder_says_so(pipeline, tmp_path):
    from dataclasses import replace

    poorer = Pipeline(replace(pipeline.model, folder=tmp_path))
    with pytest.raises(PromptError, match="no image encoder"):
        list(poorer.run([Request(ONE, guidance="clip", **QUICK)]))


@pytest.mark.parametrize("beside", [{"negative_prompt": "one AND two :5000"}, {"mix": [("one AND two :5000", 0.5)]}])
def test_and_is_a_word_in_the_texts_beside_the_prompt(pipeline, beside):
    with pytest.warns(PromptWarning, match='"and", "5000"'):
        assert pipeline(SEVEN, seed=1, **QUICK, **beside).pictures
    with pytest.raises(PromptError, match="weights lie between"):
        pipeline("one AND two :5000", seed=1, **QUICK)


def test_unknown_words_of_every_text_are_named(pipeline):
    with pytest.warns(PromptWarning, match="giraffe"):
        pipeline(ONE, seed=0, num_inference_steps=1, negative_prompt="a giraffe")
    with pytest.warns(PromptWarning, match="purple"):
        pipeline(ONE, seed=0, num_inference_steps=1, mix=(("a purple one", 0.5),))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"guidance": "magic"}, "no guidance 'magic'.*cfg"),
        ({"guidance": []}, "no guidance"),
        ({"guidance": "cfg++", "guidance_scale": 4.0}, "guidance_scale is a number from 0 to 1"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"guidance_scale": 10**400}, "guidance_scale"),
        ({"guidance_rescale": 1.5}, "guidance_rescale is a number from 0 to 1"),
        ({"guidance": "clip", "guidance_rescale": 0.5}, "does not go with"),
        ({"guidance": "pag", "negative_prompt": "7"}, "does not go with"),
        ({"negative_prompt": 7}, "A prompt is a text"),
        ({"guidance_interval": (3, 1)}, "0 <= low < high"),
        ({"guidance_interval": 3}, "guidance_interval is two numbers"),
        ({"mix": "seven"}, "mix is a list"),
        ({"mix": ["seven"]}, "mix is a list"),
        ({"mix": [("seven", "much")]}, "weights"),
        ({"mix": [(7, 0.5)]}, "A prompt is a text"),
        ({"mix": [("seven", 0.6), ("one", 0.6)]}, "sum to 1.2"),
        ({"mix": [("seven", -0.5)]}, "from 0 to 1"),
        ({"mix": [("seven", 0.1)] * 17}, "at most 16"),
        ({"mix_how": "shaken"}, "'shaken'.*spherical"),
    ],
)
def test_a_wrong_wish_is_refused_by_name(settings, said):
    with pytest.raises(PromptError, match=re.compile(said, re.DOTALL)):
        Request(ONE, **settings)


def test_weights_below_zero_go_away_from_a_prompt():
    assert Request(ONE, mix=[["seven", -0.5]], mix_how="branches").mix == (("seven", -0.5),)
