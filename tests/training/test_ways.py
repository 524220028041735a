"""Other ways to a picture: each is trained, saved, loaded, sampled and made again like any model."""

import json
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.checkpoints.files import write_tensors
from sfumato.checkpoints.folder import DIFFUSERS_WEIGHTS, load_diffusion, load_part
from sfumato.checkpoints.tensors import read_tensors
from sfumato.errors import CheckpointError, PromptError, RecipeError
from sfumato.pipelines.facts import facts
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.training import recipe as recipes
from sfumato.training.train import train

SEVEN = "a handwritten seven"
QUICK = [f"{stage}.steps=4" for stage in ("autoencoder", "clip", "denoiser", "upsampler")]
SMALL = {
    "pixels": ["denoiser.patch=2"],
    "experts": ["denoiser.experts=[0.3, 0.6]"],
    "cascade": ["data.size=8", "denoiser.patch=1"],
}


@pytest.fixture(scope="module", params=SMALL)
def model(request, tmp_path_factory, tiny):
    """A model of each way, hardly trained."""
    folder = tmp_path_factory.mktemp("ways") / request.param
    learning = [f"{stage}.warmup=2" for stage in ("clip", "denoiser", "upsampler")]
    return train("digits", folder, request.param, [*tiny, *learning, *SMALL[request.param]], quiet=True)


def test_a_model_of_this_way_makes_pictures_that_are_made_again_to_the_pixel(model):
    pipeline = Pipeline.load(model, device="cpu")
    result = pipeline([SEVEN, "the digit 3"], count=2, seed=5, num_inference_steps=5)
    assert [picture.size for picture in result.pictures] == [(32, 32)] * 4
    # so little trained it may not tell prompts apart, but seeds
    assert result.pictures[0].tobytes() != result.pictures[1].tobytes()
    again = pipeline.replay(result.recipes[1])  # alone, where it was made with others
    assert np.array_equal(np.asarray(again.pictures[0]), np.asarray(result.pictures[1]))


def test_generation_can_be_followed_and_each_stage_says_its_name(model):
    steps = list(Pipeline.load(model, device="cpu").iterate(SEVEN, seed=0, num_inference_steps=2, upsampler_steps=1))
    sizes = [(step.stage, step.pictures()[0].size[0]) for step in steps]
    base = 8 if model.name == "cascade" else 16
    second = [("upsample-2", 32)] if model.name == "cascade" else []
    assert sizes == [("denoise", base)] * 2 + [("upsample", 2 * base), *second, ("done", 32)]


def test_sizes_that_fit_are_made_and_others_refused_with_the_nearest(model):
    pipeline = Pipeline.load(model, device="cpu")
    wide = pipeline(SEVEN, seed=0, num_inference_steps=1, upsampler_steps=1, width=64, height=32).pictures[0]
    assert wide.size == (64, 32)
    with pytest.raises(PromptError, match=r"width 33 is not a multiple of .* try 32"):
        pipeline(SEVEN, width=33)


def test_the_folder_says_its_way_and_diffusers_opens_its_denoisers(model):
    from diffusers import UNet2DConditionModel

    told = dict(facts(model).summary)
    assert told["way"] == ("latents" if model.name == "experts" else "pixels")
    index = json.loads((model / "model_index.json").read_text())
    assert index["_class_name"] == ("SfumatoLatents" if model.name == "experts" else "SfumatoPixels")
    for part in [name for name in index if name.startswith("unet")]:
        theirs, ours = UNet2DConditionModel.from_pretrained(model / part).float().eval(), load_part(model, part)
        x, t = torch.randn(2, ours.config.in_channels, 8, 8), torch.tensor([10.0, 900.0])
        states = torch.randn(2, 12, ours.config.cross_attention_dim)
        with torch.no_grad():
            assert torch.allclose(ours(x, t, states), theirs(x, t, states).sample, atol=1e-5)


def test_a_way_that_is_not_known_is_refused_by_name(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("run"))
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": "SfumatoMagic"}))
    with pytest.raises(CheckpointError, match=r"is of a 'SfumatoMagic'; known here: .*SfumatoLatents, .*SfumatoPixels"):
        Pipeline.load(copy)


def test_a_picture_may_be_where_it_begins(model):
    pipeline = Pipeline.load(model, device="cpu")
    first = pipeline(SEVEN, seed=1, num_inference_steps=2).pictures[0]
    settings = {"seed": 2, "num_inference_steps": 2, "strength": 0.5}
    begun, other = (pipeline(SEVEN, picture=picture, **settings).pictures[0] for picture in (first, first.rotate(180)))
    assert begun.size == other.size == first.size
    assert begun.tobytes() != other.tobytes()


# --- experts ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def experts(tmp_path, tiny):
    return train("digits", tmp_path / "experts", "experts", [*tiny, *QUICK, *SMALL["experts"]], quiet=True)


def test_every_expert_has_learned_and_the_folder_tells_where_they_hand_over(experts):
    parts = [load_part(experts, name).state_dict() for name in ("unet", "unet_2", "unet_3")]
    for one, other in ((0, 1), (1, 2)):
        assert not torch.equal(parts[one]["conv_out.weight"], parts[other]["conv_out.weight"])
    assert load_diffusion(experts).experts == (0.3, 0.6)
    assert dict(facts(experts).summary)["experts"] == "hand over at t = 0.3, 0.6"


def test_each_expert_decides_the_picture(experts):
    plan = {"seed": 1, "num_inference_steps": 5, "upsampler_steps": 0}
    before = np.asarray(Pipeline.load(experts, device="cpu")(SEVEN, **plan).pictures[0])
    for part in ("unet", "unet_2", "unet_3"):
        copy = shutil.copytree(experts, experts.parent / part, ignore=shutil.ignore_patterns("run"))
        file = copy / part / f"{DIFFUSERS_WEIGHTS}.safetensors"
        weights = read_tensors(file)
        write_tensors(file, weights | {"conv_out.bias": weights["conv_out.bias"] + 0.5})
        assert not np.array_equal(np.asarray(Pipeline.load(copy, device="cpu")(SEVEN, **plan).pictures[0]), before)


def test_a_missing_expert_is_named(experts):
    shutil.rmtree(experts / "unet_3")
    with pytest.raises(CheckpointError, match=r"has 2 denoiser\(s\), but its scheduler names 2 time\(s\)"):
        Pipeline.load(experts)


def test_experts_in_disorder_are_refused_by_name():
    with pytest.raises(RecipeError, match="grow from clean to noise"):
        recipes.load("experts", ["denoiser.experts=[0.6, 0.3]"])


def test_an_expert_for_the_least_noise_alone_shows_what_it_can_do(tmp_path, tiny):
    settings = [*tiny, *QUICK, "denoiser.patch=2", "denoiser.experts=[0.01]", "upsampler.factor=1"]
    out = train("digits", tmp_path / "model", "pixels", settings, quiet=True)
    assert len(list(out.glob("run/denoiser*/samples-*.png"))) == 2


# --- repeated stages --------------------------------------------------------------------------------------------------


def test_killed_in_repeated_stages_and_resumed_training_ends_with_the_same_bytes(
    tmp_path, run, command, kill_in, weights
):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    settings = ["run.checkpoint_seconds=0.1", "run.precision=float32", *(line.replace("=4", "=60") for line in QUICK)]
    settings += ["way=pixels", "data.size=8", "denoiser.patch=1", "denoiser.experts=[0.5]", "upsampler.stages=2"]
    assert run("digits", undisturbed, settings=settings).returncode == 0
    for stage in ("denoiser-2", "upsampler-2"):
        code, _ = kill_in(stage, command("digits", killed, settings=settings), killed, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert not (killed / "run" / stage / "done.json").exists()
    done = run("digits", killed, settings=settings)
    assert done.returncode == 0, done.stderr
    assert weights(killed) == weights(undisturbed)
    assert {"unet_2", "upsampler_2"} <= {path.name for path in killed.iterdir()}
    assert (killed / "sfumato.json").read_bytes() == (undisturbed / "sfumato.json").read_bytes()


def test_a_repeated_stage_alone_is_asked_for_by_its_name_and_needs_the_one_before(tmp_path, run):
    settings = ["way=pixels", "denoiser.patch=2", "denoiser.experts=[0.5]", "clip.steps=2"]
    refused = run("digits", tmp_path / "model", "--stage", "denoiser-2", settings=settings)
    assert refused.returncode == 2
    assert "The stage denoiser-2 needs clip and denoiser, which" in refused.stderr
    strange = run("digits", tmp_path / "model", "--stage", "denoiser-3", settings=settings)
    assert "the recipe's stages are clip, denoiser, denoiser-2, upsampler." in strange.stderr
    assert run("digits", tmp_path / "model", "--stage", "clip", settings=settings).returncode == 0


def test_a_budget_plans_repeated_stages_one_by_one(tmp_path, tiny):
    small = [f"{stage}.enough=100000000" for stage in ("clip", "denoiser", "upsampler")]
    more = ["denoiser.experts=[0.5]", "upsampler.stages=2", "data.size=8", "denoiser.patch=1", *small]
    folder = train("digits", tmp_path / "model", "pixels", [*tiny, *more], budget="8s", quiet=True)
    plans = {path.parent.name: json.loads(path.read_text())["steps"] for path in folder.glob("run/*/plan.json")}
    assert set(plans) == {"clip", "denoiser", "denoiser-2", "upsampler", "upsampler-2"}
    assert min(plans.values()) >= 50


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", SMALL)
def test_the_recipes_train_on_a_folder_of_photos_too(tmp_path, tiny, recipe):
    random = np.random.default_rng(0)
    for kind in ("hat", "shoe"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for i in range(6):
            picture = Image.fromarray(random.integers(0, 255, (24, 20, 3), dtype=np.uint8))
            picture.save(tmp_path / "photos" / kind / f"{i}.jpg")
    settings = [*tiny, *QUICK, *SMALL[recipe], "data.flip=true"]
    pipeline = Pipeline.load(train(tmp_path / "photos", tmp_path / "model", recipe, settings, quiet=True))
    assert pipeline("a hat", seed=1, num_inference_steps=2).pictures[0].size == (32, 32)
    assert json.loads((tmp_path / "model" / "sfumato.json").read_text())["data"]["pictures"] == 12


def test_without_a_split_the_held_out_digits_are_not_trained_on():
    from sfumato.data.digits import digits

    data = recipes.load("pixels").data
    assert (data.part_of("digits"), data.part_of("photos/")) == ("train", "all")
    assert len(digits("train")) < len(digits("all"))
