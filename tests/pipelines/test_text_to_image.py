"""From words to pictures, with the embedded digits model."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.diffusion.sampling import last
from sfumato.diffusion.times import timetable
from sfumato.errors import CheckpointError, PromptError
from sfumato.pipelines.denoising import prompted
from sfumato.pipelines.keepsake import read_recipe, save_picture
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline, PromptWarning

SEVEN = "a handwritten seven"


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load("digits", device="cpu")


def pixels(picture):
    return np.asarray(picture)


@pytest.mark.parametrize("solver", ["dpmpp-2m", "ddpm"])
def test_a_picture_is_the_same_alone_in_a_batch_and_after_other_work(pipeline, solver):
    settings = {"num_inference_steps": 5, "solver": solver}
    alone = pipeline(SEVEN, seed=11, **settings).pictures[0]
    batch = pipeline(SEVEN, count=8, seed=7, **settings).pictures
    pipeline("the digit 3", count=3, seed=11, num_inference_steps=2)
    again = pipeline(SEVEN, seed=11, **settings).pictures[0]
    mixed = pipeline([f"a {word}" for word in ("zero", "one")] + [SEVEN], seed=11, **settings).pictures[2]
    for other in (batch[4], again, mixed):
        assert np.array_equal(pixels(alone), pixels(other))
    assert len({pixels(picture).tobytes() for picture in batch}) == 8


def test_latents_and_pictures_are_bit_equal_alone_and_in_a_batch(pipeline):
    way = pipeline.way

    def made(seeds):
        batch = pipeline.batch([Request(SEVEN, seed, num_inference_steps=4) for seed in seeds])
        latents = last(way.denoise(way.encode(batch.prompts), batch))
        small = way.decode(latents)
        *_, painting = pipeline.enlarge(small, batch)
        return latents, small, painting.pictures()

    with torch.inference_mode():
        eight = made(range(8))
        for seed in (0, 3, 7):
            for together, alone in zip(eight, made([seed]), strict=True):
                assert torch.equal(together[seed : seed + 1], alone)


def test_more_pictures_a_pass_are_equal_up_to_rounding(pipeline):
    together = Pipeline(pipeline.model, pictures_a_pass=4)
    one, many = (p(SEVEN, count=4, seed=1, num_inference_steps=5).pictures for p in (pipeline, together))
    for a, b in zip(one, many, strict=True):
        assert np.abs(pixels(a).astype(int) - pixels(b)).max() <= 2


def test_the_prompt_and_the_seed_decide_the_picture(pipeline):
    settings = {"num_inference_steps": 5}
    seven, one = (pixels(pipeline(prompt, seed=1, **settings).pictures[0]) for prompt in (SEVEN, "a handwritten one"))
    assert np.abs(seven.astype(int) - one).mean() > 5
    assert not np.array_equal(seven, pixels(pipeline(SEVEN, seed=2, **settings).pictures[0]))


def test_guidance_one_is_the_conditional_model_alone(pipeline):
    (states, _), (empty, _) = pipeline.way.encode([SEVEN])[0], pipeline.way.encode([""])[0]
    model = pipeline.model
    noisy, level = torch.randn(1, 4, 8, 8), timetable(model.diffusion.process, 4)[1]
    with torch.inference_mode():
        alone = prompted(model.unet, model.diffusion, states, empty, 1.0)(noisy, level)
        nearly = prompted(model.unet, model.diffusion, states, empty, 1.0 + 1e-6)(noisy, level)
        none = prompted(model.unet, model.diffusion, states, empty, 0.0)(noisy, level)
        prompt_free = prompted(model.unet, model.diffusion, empty, empty, 1.0)(noisy, level)
    assert torch.allclose(alone, nearly, atol=1e-4)
    assert torch.allclose(none, prompt_free, atol=1e-4)


def test_generation_can_be_followed_and_left(pipeline):
    steps = list(pipeline.iterate(SEVEN, count=2, seed=0, num_inference_steps=3, upsampler_steps=2))
    assert [(s.stage, s.step) for s in steps] == [
        ("denoise", 1),
        ("denoise", 2),
        ("denoise", 3),
        ("upsample", 1),
        ("upsample", 2),
        ("done", 2),
    ]
    assert [picture.size for picture in steps[0].pictures()] == [(32, 32)] * 2
    assert [picture.size for picture in steps[-1].pictures()] == [(64, 64)] * 2


def test_sizes(pipeline):
    assert pipeline(SEVEN, seed=0, num_inference_steps=2, upsampler_steps=0).pictures[0].size == (32, 32)
    wide = pipeline(SEVEN, seed=0, num_inference_steps=2, upsampler_steps=1, width=96, height=64).pictures[0]
    assert wide.size == (96, 64)
    with pytest.raises(PromptError, match=r"width 65 is not a multiple of 8 pixels.*try 64"):
        pipeline(SEVEN, width=65)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_inference_steps": 2.5}, "num_inference_steps"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"solver": "magic"}, "magic.*dpmpp-2m"),
        ({"solver": "lms", "eta": 0.5}, "lms has no eta.*ddim"),
        ({"solver": "heun", "guidance": "cfg++"}, "cfg\\+\\+ takes a solver of one look"),
        ({"solver": "dpm2", "guidance": "apg"}, "apg takes a solver of one look"),
        ({"guidance": "cfg++", "guidance_rescale": 0.5}, "guidance_rescale"),
        ({"guidance_scale": 1.0, "negative_prompt": "a dress"}, "negative_prompt does nothing"),
        ({"guidance_interval": (5, 2)}, "guidance_interval"),
        ({"times": (0.3,), "num_inference_steps": 1}, "times begin near 1"),
        ({"pull": 2.0}, "pull does nothing"),
        ({"seed": 10**5000}, "much larger"),
        ({"seed": -1}, "seed"),
        ({"count": 0}, "count"),
        ({"width": 10**9}, "width"),
        ({"flavour": 3}, "flavour"),
        ({"prompt": "x" * 100_000}, "at most"),
        ({"prompt": []}, "At least one"),
        ({"prompt": None}, "A prompt is a text"),
        ({"prompt_syntax": []}, r"no prompt_syntax \[\]; there are sfumato"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(pipeline, settings, said):
    with pytest.raises(PromptError, match=said):
        pipeline(**{"prompt": SEVEN, **settings})


def test_requests_that_are_made_together_share_their_settings(pipeline):
    with pytest.raises(PromptError, match="differ in prompt and seed at most"):
        next(pipeline.run([Request(SEVEN, 1), Request(SEVEN, 2, num_inference_steps=3)]))
    with pytest.raises(PromptError, match="At least one"):
        next(pipeline.run([]))


def test_unknown_words_and_lost_words_are_named(pipeline):
    with pytest.warns(PromptWarning, match='"purple", "giraffe"'):
        pipeline("a purple giraffe", seed=0, num_inference_steps=1)
    with pytest.warns(PromptWarning, match="left out"):
        pipeline("a handwritten seven " * 10, seed=0, num_inference_steps=1, prompt_syntax="diffusers")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline(SEVEN, seed=0, num_inference_steps=1)


def test_a_picture_carries_its_recipe_and_is_made_again(pipeline, tmp_path):
    path = tmp_path / "new" / "seven.png"
    result = pipeline(SEVEN, seed=5, num_inference_steps=3)
    result.save([path])
    recipe = read_recipe(path)
    assert recipe["request"]["prompt"] == SEVEN
    assert recipe["request"]["seed"] == 5
    again = pipeline.replay(recipe).pictures[0]
    with Image.open(path) as saved:
        assert np.array_equal(pixels(saved), pixels(again))


def test_another_model_does_not_pretend_to_make_it_again(pipeline):
    recipe = pipeline(SEVEN, seed=5, num_inference_steps=1).recipes[0]
    with pytest.raises(CheckpointError, match="fingerprint"):
        pipeline.replay({**recipe, "model_fingerprint": "0" * 16})


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[1]",
        json.dumps({"request": {"prompt": 3}}),
        json.dumps({"request": {}}),
        '{"request": 7}',
        '{"request": {"prompt": "7", "solver": []}}',
        '{"request": {"prompt": "7", "prompt_syntax": {}}}',
        '{"request": {"prompt": "7"}, "additions": []}',
    ],
)
def test_a_damaged_recipe_is_refused(pipeline, tmp_path, text):
    from PIL import PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("sfumato", text)
    Image.new("RGB", (4, 4)).save(tmp_path / "p.png", pnginfo=chunks)
    known = pipeline.recipe(Request(SEVEN))["model_fingerprint"]
    with pytest.raises(PromptError):
        pipeline.replay({**read_recipe(tmp_path / "p.png"), "model_fingerprint": known})


def test_pictures_from_elsewhere_carry_no_recipe(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("hello")
    for name, said in (("plain.png", "no sfumato recipe"), ("text.png", "not a PNG"), ("none.png", "no picture")):
        with pytest.raises(PromptError, match=said):
            read_recipe(tmp_path / name)


def test_recipes_of_any_language_survive(tmp_path):
    save_picture(Image.new("RGB", (2, 2)), tmp_path / "p.png", {"prompt": "eine Sieben – 七"})
    assert read_recipe(tmp_path / "p.png") == {"prompt": "eine Sieben – 七"}
