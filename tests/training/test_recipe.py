"""Recipes: what comes with the library is valid, and what is wrong is named."""

import pytest

from sfumato.checkpoints.folder import PARTS, kind
from sfumato.errors import RecipeError
from sfumato.training import recipe as recipes
from sfumato.training.captions import Captions
from sfumato.training.stages import parts_of


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_that_comes_with_sfumato_is_valid(name):
    assert recipes.load(name).name == name


@pytest.mark.parametrize("name", recipes.names())
def test_every_stage_of_a_recipe_becomes_parts_that_a_model_folder_has(name):
    recipe = recipes.load(name)
    parts = [part for stage in recipe.stages for part in parts_of(stage, recipe)]
    assert len(set(parts)) >= len(recipe.stages)
    assert {kind(part) for part in parts} <= PARTS.keys()


def test_settings_go_over_the_recipe():
    recipe = recipes.load("digits", ["denoiser.steps=7", "clip.optimizer=adamw", "autoencoder.channels=[8, 16, 16]"])
    assert (recipe.denoiser.steps, recipe.clip.optimizer, recipe.autoencoder.channels) == (7, "adamw", (8, 16, 16))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("denoiser.steps=0", "denoiser.steps"),
        ("denoiser.stepz=9", "denoiser.stepz"),
        ("clip.optimizer=sgd", "clip.optimizer"),
        ("data.size=30", "not a multiple"),
        ("denoiser.process=flow", "go together"),
        ("denoiser.shift=inf", "denoiser.shift"),
        ("denoiser.shift=1e-9", "denoiser.shift"),
        ("denoiser", "path.to.key=value"),
        ("name.steps=3", "is a value, not a table"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(setting, said):
    with pytest.raises(RecipeError, match=said):
        recipes.load("digits", [setting])


def test_the_stages_follow_from_the_way_and_repeated_ones_are_numbered():
    assert recipes.load("digits").stages == ("autoencoder", "clip", "denoiser", "upsampler")
    pixels = recipes.load("digits", ["way=pixels", "data.size=16", "upsampler.stages=2"])
    assert pixels.stages == ("clip", "denoiser", "upsampler", "upsampler-2")
    assert pixels.stage("upsampler-2") is pixels.upsampler
    assert pixels.needs("denoiser") == ("clip",)
    assert pixels.needs("upsampler-2") == ()
    assert pixels.final_size == 64
    assert recipes.load("digits", ["way=gradient"]).final_size == 32


def test_an_unknown_recipe_names_those_there_are():
    with pytest.raises(RecipeError, match="digits"):
        recipes.load("no-such-recipe")


def test_broken_toml_is_named_with_its_line(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("seed = 1\nname = @")
    with pytest.raises(RecipeError, match=r"broken\.toml.*line 2"):
        recipes.load(path)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("3", 180)])
def test_a_budget_is_a_time(text, seconds):
    assert recipes.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0m", "ten minutes", "-3m", "5d"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(RecipeError, match="budget"):
        recipes.seconds(text)


def test_captions_of_one_class_mean_the_same_and_each_is_chosen():
    import torch

    captions = Captions([("a", "b"), ("c",), ("b", "d")], ["x", None, "x"])
    first, second, third = captions.meanings(torch.arange(3))
    assert first == third != second
    pictures = torch.tensor([0, 1, 2] * 50)
    chosen = captions.choose(pictures, torch.Generator().manual_seed(0))
    assert {captions.texts[i] for i in chosen[0::3]} == {"a", "b"}
    assert {captions.texts[i] for i in chosen[1::3]} == {"c"}
    assert {captions.texts[i] for i in chosen[2::3]} == {"b", "d"}


def test_what_holds_at_one_size_lies_over_the_rest_and_settings_over_both(tmp_path):
    path = tmp_path / "own.toml"
    tables = {"denoiser": "steps = 9\nbatch = 8", "at.tiny.denoiser": "steps = 3", "at.tiny.data": "concepts = 5"}
    path.write_text('size = "small"\n' + "\n".join(f"[{name}]\n{values}" for name, values in tables.items()))
    small, tiny = recipes.load(path), recipes.load(path, size="tiny")
    assert (small.size, small.denoiser.steps, small.data.concepts) == ("small", 9, 600)
    assert (tiny.size, tiny.denoiser.steps, tiny.denoiser.batch, tiny.data.concepts) == ("tiny", 3, 8, 5)
    assert recipes.load(path, ["denoiser.steps=1"], "tiny").denoiser.steps == 1
    for wrong in ("[at.huge]\n", "at = 5", "[at]\ntiny = 5"):
        path.write_text(wrong)
        with pytest.raises(RecipeError, match="'at'"):
            recipes.load(path)
    path.write_text("size = ['tiny']")
    with pytest.raises(RecipeError, match="size"):
        recipes.load(path)
    with pytest.raises(RecipeError, match="size"):
        recipes.load("scenes", size="huge")


def test_scenes_are_learned_at_every_size_by_networks_that_fit_it():
    assert recipes.load("scenes").denoiser.network != "unet"
    tiny = recipes.load("scenes", size="tiny").denoiser
    assert (tiny.network, tiny.layers) == ("unet", 1)


def test_words_learn_on_with_one_denoiser_alone():
    with pytest.raises(RecipeError, match="train_words"):
        recipes.load("experts", ["denoiser.train_words=true"])
