"""Pictures that grow, and that keep what is to stay."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

import tiny_models
from sfumato.errors import PromptError
from sfumato.pipelines.canvas import canvas_of
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline

QUICK = {"num_inference_steps": 3, "upsampler_steps": 1}


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load("digits", device="cpu")


def photo(width=64, height=64):
    values = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def half(width=64, height=64):
    mask = Image.new("L", (width, height))
    mask.paste(255, (0, 0, width // 2, height))
    return mask


def test_a_picture_grows_and_stays_as_it_was_but_for_the_seam(pipeline):
    picture = photo()
    made = pipeline("seven", seed=1, picture=picture, extend=(16, 0, 0, 32), **QUICK).pictures[0]
    assert made.size == (80, 96)
    inside = np.asarray(made)[:64, 16:]
    assert np.array_equal(inside[:60, 4:], np.asarray(picture)[:60, 4:])
    assert len(np.unique(np.asarray(made)[70:])) > 10


def test_what_a_mask_keeps_is_the_same_to_the_pixel_and_without_paste_it_is_not(pipeline):
    picture = photo()
    settings = {"seed": 1, "picture": picture, "mask": half(), **QUICK}
    pasted, plain = (pipeline("seven", paste=paste, **settings).pictures[0] for paste in (True, False))
    assert np.array_equal(np.asarray(pasted)[:, 36:], np.asarray(picture)[:, 36:])
    assert not np.array_equal(np.asarray(plain)[:, 36:], np.asarray(picture)[:, 36:])
    assert not np.array_equal(np.asarray(pasted)[:, :32], np.asarray(picture)[:, :32])


def test_every_preview_keeps_it_too(pipeline):
    picture = photo()
    for step in pipeline.iterate("seven", seed=1, picture=picture, mask=half(), **QUICK):
        shown = step.pictures()[0]
        expected = np.asarray(picture.resize(shown.size, Image.Resampling.LANCZOS))
        kept = shown.width // 2 + 4
        assert np.abs(np.asarray(shown).astype(int) - expected)[:, kept:].max() <= 1


def test_a_mask_and_an_extension_go_together():
    request = Request("seven", picture=photo(), mask=half(), extend=(0, 16, 0, 0))
    canvas = canvas_of(request, 64, 80)
    assert canvas.free[0, :16].min() == 1
    assert canvas.free[0, 16:, :32].min() == 1
    assert canvas.free[0, 16:, 32:].max() == 0
    assert ((canvas.soft > 0) >= (canvas.free > 0)).all()


def test_what_lies_around_goes_on_as_the_picture_does():
    blue = Image.new("RGB", (32, 32), (0, 0, 255))
    canvas = canvas_of(Request("sea", picture=blue, extend=(40, 0, 0, 0)), 72, 32)
    mean = canvas.picture[:, :, :40].mean((1, 2))
    assert mean[2] > 0.8
    assert mean[0] < -0.8
    again = canvas_of(Request("sea", picture=blue, extend=(40, 0, 0, 0)), 72, 32)
    assert (canvas.picture == again.picture).all()


def test_an_extension_is_made_again_from_its_recipe(pipeline, tmp_path):
    photo().save(tmp_path / "photo.png")
    made = pipeline("seven", seed=1, picture=tmp_path / "photo.png", extend=(8, 0, 8, 0), **QUICK)
    recipe = json.loads(json.dumps(made.recipes[0]))
    assert np.array_equal(pipeline.replay(recipe).pictures[0], made.pictures[0])
    assert Request.from_dict(recipe["request"]).paste


def test_a_recipe_from_before_there_was_paste_has_none():
    recipe = Request("seven", picture=photo(), mask=half()).to_dict()
    del recipe["paste"]
    assert not Request.from_dict(recipe).paste
    assert Request.from_dict({"prompt": "seven"}).paste


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"extend": (8, 0, 0, 0)}, "extend does nothing without a picture"),
        ({"picture": photo(), "extend": (0, 0, 0, 0)}, "not all of them 0"),
        ({"picture": photo(), "extend": (8, 0, 0)}, "left, top, right, bottom"),
        ({"picture": photo(), "extend": (8, 0, 0, -8)}, "from 0 to 8192"),
        ({"picture": photo(), "extend": (8.0, 0, 0, 0)}, "whole numbers"),
        ({"picture": photo(), "extend": (8, 0, 0, 0), "width": 72}, "leave width and height out"),
        ({"paste": False}, "paste does nothing"),
        ({"paste": 1}, "true or false"),
    ],
)
def test_a_wrong_edit_is_refused_by_name(settings, said):
    with pytest.raises(PromptError, match=said):
        Request("seven", **settings)


def test_a_picture_of_which_nothing_would_be_seen_is_refused(pipeline):
    with pytest.raises(PromptError, match="picture does nothing without a strength, a mask or extend"):
        pipeline("seven", picture=photo(), **QUICK)
    of_noise, old = pipeline("seven", seed=1, **QUICK), Request("seven", seed=1, picture=photo(), **QUICK)
    assert pipeline.made([old]).pictures[0].tobytes() == of_noise.pictures[0].tobytes()  # as recipes have it


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "YCbCr", "F", "I"])
def test_a_picture_from_memory_may_be_of_any_colours(mode):
    given = Request("seven", picture=Image.new("L", (8, 8), 255).convert(mode), strength=0.5).picture
    assert given.open().getpixel((4, 4)) == (255, 255, 255)
    assert Request.from_dict(Request("seven", picture=given, strength=0.5).to_dict()).picture == given


@pytest.mark.parametrize("name", ["cat\0.png", "cat\ud800.png"])
def test_a_name_that_no_file_can_have_is_refused(name):
    with pytest.raises(PromptError, match="There is no picture"):
        Request("seven", picture=name, strength=0.5)
    with pytest.raises(PromptError, match="There is no picture"):
        Request("seven", picture={"path": name, "sha256": "0" * 64}, strength=0.5).picture.open()


@pytest.mark.parametrize("picture", [Image.new("HSV", (8, 8)), Image.new("RGB", (0, 8))], ids=["colours", "size"])
def test_a_picture_from_memory_that_cannot_be_a_file_is_refused(picture):
    with pytest.raises(PromptError, match="The picture given cannot be used"):
        Request("seven", picture=picture, strength=0.5)


def test_an_extension_to_a_size_that_the_model_does_not_make_is_refused(pipeline):
    with pytest.raises(PromptError, match=r"width of what is extended 69 is not a multiple of 8 pixels.*try 72"):
        pipeline("seven", picture=photo(), extend=(5, 0, 0, 0))


def test_a_model_that_sees_masks_makes_room_too(tmp_path):
    folder = tmp_path / "inpaint"
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny_models.inpaint(folder).save_pretrained(folder)
        ours = Pipeline.load(folder, device="cpu")
        made = ours("a cat", seed=1, picture=photo(24, 24), extend=(8, 0, 0, 0), num_inference_steps=2).pictures[0]
    assert made.size == (32, 24)
    assert np.array_equal(np.asarray(made)[:, 10:], np.asarray(photo(24, 24))[:, 2:])
