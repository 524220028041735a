"""Prompts that change while a picture is made say at each step what A1111 has them say."""

import pytest
import torch
from PIL import Image

import tiny_models
from sfumato.diffusion.levels import Level
from sfumato.errors import PromptError
from sfumato.pipelines import words
from sfumato.pipelines.changing import changing
from sfumato.pipelines.text_to_image import Pipeline, PromptWarning
from sfumato.pipelines.weighting import Reading

STEPS = 5
QUICK = {
    "seed": 1,
    "num_inference_steps": STEPS,
    "prompt_syntax": "a1111",
    "solver": "euler",
    "guidance_scale": 3.0,
    "width": 32,
    "height": 24,
}

# As AUTOMATIC1111's prompt_parser.py 1.7 has it: the text for a look number `current_step`, counted from 0, is the
# first of the schedule whose end, counted from 1, is not below it.
HEARD = {
    "a [cat:panda:0.5]": ["cat", "cat", "cat", "panda", "panda"],
    "a [cat:panda:1]": ["cat", "cat", "panda", "panda", "panda"],
    "a [cat:panda:1.0]": ["cat"] * 5,
    "a [cat:panda:0]": ["panda"] * 5,
    "a [cat|panda|sea]": ["cat", "cat", "panda", "sea", "cat"],
    "a cat": ["cat"] * 5,
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stable")
    tiny_models.stable(folder).save_pretrained(folder / "model")
    return Pipeline.load(folder / "model", device="cpu")


@pytest.mark.parametrize("text", HEARD)
def test_a_prompt_says_at_each_step_what_it_says_in_a1111(text):
    said = [Reading("a1111", step=step, steps=STEPS).branches(text) for step in range(STEPS)]
    assert ["".join(piece.text for piece in each[0].chunks[0]) for each in said] == [
        f"a {word}" for word in HEARD[text]
    ]


def heard(pipeline, monkeypatch, prompt, **settings):
    """What the denoiser hears look by look: the states of the prompt's branches, and of what is gone away from."""
    seen, network = [], type(pipeline.model.unet)
    forward = network.forward

    def watched(unet, x, label, states, *more, **named):
        seen.append(states)
        return forward(unet, x, label, states, *more, **named)

    monkeypatch.setattr(network, "forward", watched)
    pipeline(prompt, **QUICK | settings)
    return seen


def states_of(pipeline, text):
    with torch.inference_mode():
        return words.condition_of(pipeline.model, [text]).states[0]


@pytest.mark.parametrize("text", HEARD)
def test_the_denoiser_hears_at_each_step_what_the_prompt_says_there(pipeline, monkeypatch, text):
    looks = heard(pipeline, monkeypatch, text, negative_prompt="a [cat:sea:3]")
    assert len(looks) == STEPS
    for step, (toward, away) in enumerate(looks):
        assert torch.equal(toward, states_of(pipeline, f"a {HEARD[text][step]}"))
        assert torch.equal(away, states_of(pipeline, "a sea" if step > 3 else "a cat"))


def test_each_branch_changes_by_itself(pipeline, monkeypatch):
    looks = heard(pipeline, monkeypatch, "[red|blue] sea AND a [cat:panda:2] :0.5")
    first, second = ["red", "red", "blue", "red", "blue"], ["cat"] * 3 + ["panda"] * 2
    for (one, other, _), colour, animal in zip(looks, first, second, strict=True):
        assert torch.equal(one, states_of(pipeline, f"{colour} sea"))
        assert torch.equal(other, states_of(pipeline, f"a {animal}"))


@pytest.mark.parametrize("solver", ["heun", "dpm2", "restart"])
def test_a_solver_that_looks_more_often_hears_what_belongs_to_the_level(pipeline, monkeypatch, solver):
    looks = heard(pipeline, monkeypatch, "a [cat:panda:2]", solver=solver)
    is_cat = [torch.equal(look[0], states_of(pipeline, "a cat")) for look in looks]
    assert len(looks) > STEPS
    assert is_cat[0]
    assert not is_cat[-1]
    if solver == "dpm2":  # it looks between the levels
        assert is_cat == [True] * 6 + [False] * 3


def test_with_a_picture_to_begin_with_the_steps_that_are_made_count(pipeline, monkeypatch):
    looks = heard(pipeline, monkeypatch, "a [cat:panda:1]", picture=Image.new("RGB", (32, 24)), strength=0.8)
    is_cat = [torch.equal(look[0], states_of(pipeline, "a cat")) for look in looks]
    assert is_cat == [True, True, False, False]


@pytest.mark.parametrize("guidance", ["cfg", "apg"])
def test_prompts_that_change_are_the_same_to_the_bit_beside_others_and_made_again(pipeline, guidance):
    prompts, settings = (
        ["a [cat|panda]", "a photo of a cat", "a [cat:sea:0.5] AND [red:blue:2] sea"],
        {"guidance": guidance},
    )
    together = pipeline(prompts, **QUICK | settings)
    for prompt, picture, recipe in zip(prompts, together.pictures, together.recipes, strict=True):
        assert pipeline(prompt, **QUICK | settings).pictures[0].tobytes() == picture.tobytes()
        assert pipeline.replay(recipe).pictures[0].tobytes() == picture.tobytes()


def test_what_is_said_later_is_checked_and_told_of_at_once(pipeline):
    with pytest.raises(PromptError, match="weights lie between"):
        pipeline.requests("a [cat:(panda:9999):0.5]", **QUICK)
    with pytest.raises(PromptError, match="by the rules of a1111 alone"):
        pipeline.requests("a [cat:panda:0.5]", **QUICK | {"prompt_syntax": "sfumato"})
    digits = Pipeline.load("digits", device="cpu")
    with pytest.warns(PromptWarning, match='"giraffe"'):
        digits("a handwritten [seven:giraffe:1]", seed=1, num_inference_steps=3, prompt_syntax="a1111")


def test_only_what_is_being_said_is_kept():
    asked = []

    def said_at(step):
        asked.append(step)
        return lambda noisy, level: noisy + step

    sigma = torch.linspace(1, 0, 6)[:-1]
    levels = Level(1 - sigma, sigma)
    denoise = changing(said_at, [0, 1, 4], levels)
    assert [float(denoise(torch.zeros(1), levels[step])) for step in (0, 1, 2, 3, 1, 4)] == [0, 1, 1, 1, 1, 4]
    assert asked == [0, 1, 4]
