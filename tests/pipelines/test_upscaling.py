"""Any picture made larger, tile by tile."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_models
from sfumato.errors import PromptError
from sfumato.pipelines.replaying import remade
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.tiling import enlarged_in_tiles, noise_in_place
from sfumato.pipelines.upscaling import LANCZOS, Upscaling, upscaled


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load("digits", device="cpu")


def photo(width, height):
    values = np.random.default_rng(0).integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(50, 37), (16, 70), (9, 9)])
def test_tiles_are_put_together_without_a_trace(size):
    pixels = torch.from_numpy(np.array(photo(*size))).permute(2, 0, 1)
    seen = []

    def double(tile, top, left):
        seen.append((top, left, tuple(tile.shape[1:])))
        return tile.repeat_interleave(2, 1).repeat_interleave(2, 2)

    made = enlarged_in_tiles(double, pixels, 2, 16, 4)
    assert torch.equal(made, pixels.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert all(max(shape) <= 16 for _, _, shape in seen)


def test_noise_is_the_same_where_tiles_overlap_and_differs_from_place_to_place():
    one, other = noise_in_place(3, 40, 50, 64), noise_in_place(3, 60, 90, 64)
    for times in (1, 4):
        empty = torch.empty(1, 3, 64 * times, 64 * times)
        here, there = one(empty), other(empty)
        down, across = 20 * times, 40 * times
        assert torch.equal(here[..., down:, across:], there[..., : 64 * times - down, : 64 * times - across])
        assert here.std() == pytest.approx(1, abs=0.05)
    assert not torch.equal(here[..., :64, :64], here[..., 64:128, :64])
    assert not torch.equal(noise_in_place(4, 40, 50, 64)(empty), here)


def test_an_upsampler_enlarges_a_picture_of_any_size_and_the_recipe_makes_it_again(pipeline, tmp_path):
    photo(70, 45).save(tmp_path / "photo.png")
    asked = Upscaling(tmp_path / "photo.png", 3, steps=1)
    made, recipe = upscaled(pipeline, asked)
    assert made.size == (210, 135)
    assert recipe["upscaled"]["by"] == "its upsamplers"
    again, told = remade(pipeline, recipe)
    assert np.array_equal(made, again)
    assert told == recipe


def test_what_tiles_show_hardly_depends_on_where_they_lie(pipeline, monkeypatch):
    asked = Upscaling(photo(96, 64), 2, steps=1)
    whole, _ = upscaled(pipeline, asked)
    monkeypatch.setattr("sfumato.pipelines.upscaling.TILE", 96)
    tiled, _ = upscaled(pipeline, asked)
    assert np.abs(np.asarray(whole).astype(int) - np.asarray(tiled)).mean() < 4


@pytest.mark.parametrize(("name", "factor"), [("upscale", 4), ("doubler", 2)])
def test_upscalers_of_stable_diffusion_enlarge_in_tiles(tmp_path, monkeypatch, name, factor):
    folder = tmp_path / name
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(tiny_models, name)(folder).save_pretrained(folder)
    monkeypatch.setattr("sfumato.pipelines.upscaling.TILE", 128)
    asked = Upscaling(photo(72, 40), factor, "a photo of a cat", steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made, recipe = upscaled(Pipeline.load(folder, device="cpu"), asked)
    assert made.size == (72 * factor, 40 * factor)
    assert recipe["upscaled"]["by"] == "its denoiser"


def test_without_an_upsampler_it_is_interpolated_and_says_so(pipeline, monkeypatch):
    monkeypatch.setattr(type(pipeline.model), "upsamplers", [])
    picture = photo(20, 10)
    made, recipe = upscaled(pipeline, Upscaling(picture, 2))
    assert recipe["upscaled"]["by"] == LANCZOS
    assert np.array_equal(made, picture.resize((40, 20), Image.Resampling.LANCZOS))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"factor": 1}, "would stay as it is"),
        ({"factor": 17}, "factor is a number from 1 to 16"),
        ({"seed": -1}, "seed is a whole number"),
        ({"steps": 0}, "steps is a whole number"),
        ({"prompt": 3}, "A prompt is a text"),
        ({"picture": "nowhere.png"}, "There is no picture"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings, said):
    with pytest.raises(PromptError, match=said):
        Upscaling(**{"picture": photo(8, 8), **settings})


def test_a_result_beyond_all_bounds_is_refused_before_it_is_begun(pipeline):
    with pytest.raises(PromptError, match="more than 8192 a side"):
        upscaled(pipeline, Upscaling(Image.new("RGB", (1000, 8)), 16))
