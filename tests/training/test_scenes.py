"""Training from scenes that are composed as they are asked for, by every network that a denoiser may be."""

import shutil

import diffusers
import numpy as np
import pytest
import torch

import sfumato
from sfumato.checkpoints.folder import clip_text, load_part
from sfumato.data.scenes.sprites import shapes
from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import per_sample_noise
from sfumato.errors import RecipeError
from sfumato.training.train import train

TINY = [
    "data.size=16",
    "data.length=16",
    "data.vocabulary=700",
    "data.scenes=200",
    "data.flip=false",
    "autoencoder.factor=2",
    "autoencoder.channels=[8, 8]",
    "autoencoder.steps=30",
    "autoencoder.batch=4",
    "clip.width=64",
    "clip.layers=1",
    "clip.steps=2",
    "clip.batch=4",
    "denoiser.width=64",
    "denoiser.layers=1",
    "denoiser.channels=[8, 16]",
    "denoiser.steps=12",
    "denoiser.batch=4",
    "upsampler.factor=4",
    "upsampler.patch=4",
    "upsampler.channels=[8, 16]",
    "upsampler.steps=12",
    "upsampler.batch=2",
    "run.previews=1",
    "run.precision='float32'",
]


@pytest.fixture(scope="module")
def sprites(tmp_path_factory):
    path = tmp_path_factory.mktemp("sprites") / "shapes.png"
    shapes().save(path)
    return path


def trained(out, sprites, *settings):
    train("scenes", out, "pictures", [*TINY, f"data.sprites={str(sprites)!r}", *settings], quiet=True)
    return sfumato.load(out)


@pytest.mark.parametrize("way", ["latents", "pixels"])
@pytest.mark.parametrize("network", ["pixart", "sd3", "flux", "unet"])
def test_a_model_of_scenes_paints(network, way, sprites, tmp_path):
    pipeline = trained(tmp_path / "model", sprites, f"denoiser.network={network}", f"way={way}")
    result = pipeline(["a red circle", "two stars"], seed=1, num_inference_steps=2)
    assert [picture.size for picture in result.pictures] == [(64, 64)] * 2
    one, other = pipeline("two stars", count=2, seed=1, num_inference_steps=2, upsampler_steps=0).pictures
    assert one.size == (16, 16)
    assert one.tobytes() != other.tobytes()
    alone = pipeline("two stars", seed=2, num_inference_steps=2, upsampler_steps=0).pictures[0]
    assert alone.tobytes() == other.tobytes()


def test_words_that_learn_on_end_elsewhere_than_those_of_clip(sprites, tmp_path):
    flow = ["denoiser.network=flux", "denoiser.process=flow", "denoiser.prediction=velocity", "upsampler.factor=1"]
    left = trained(tmp_path / "left", sprites, *flow).model.text_encoder.state_dict()
    pipeline = trained(tmp_path / "learned", sprites, *flow, "denoiser.train_words=true")
    learned = pipeline.model.text_encoder.state_dict()
    changed = {name for name in left if not torch.equal(left[name], learned[name])}
    assert "text_model.embeddings.token_embedding.weight" in changed
    kept = load_part(tmp_path / "learned", clip_text(tmp_path / "learned")).state_dict()
    assert all(torch.equal(left[name], kept[name]) for name in left)  # what the image encoder knows is still there
    assert clip_text(tmp_path / "left") == "text_encoder"
    pictures = pipeline("two stars", seed=1, num_inference_steps=2, guidance="clip").pictures
    assert len(pictures) == 1


@pytest.mark.parametrize("train_words", ["true", "false"])
def test_lost_parts_are_made_again_of_the_last_checkpoints(sprites, tmp_path, weights, train_words):
    settings = ["denoiser.network=flux", "denoiser.process=flow", "denoiser.prediction=velocity", "upsampler.factor=1"]
    settings.append(f"denoiser.train_words={train_words}")
    trained(tmp_path, sprites, *settings)
    before, metrics = weights(tmp_path), {path: path.read_bytes() for path in tmp_path.glob("run/*/metrics.jsonl")}
    for lost in ("text_encoder", "transformer"):
        shutil.rmtree(tmp_path / lost)
    assert trained(tmp_path, sprites, *settings)("two stars", num_inference_steps=1).pictures
    assert weights(tmp_path) == before
    assert {path: path.read_bytes() for path in metrics} == metrics  # no step was done again


def test_what_keeps_something_of_each_picture_takes_no_scenes(sprites, tmp_path):
    with pytest.raises(RecipeError, match="scenes"):
        train("scenes", tmp_path / "out", "cold", [f"data.sprites={str(sprites)!r}", "clip.steps=1"], quiet=True)


def test_a_unet_that_learned_a_flow_opens_in_diffusers_and_paints_the_same(sprites, tmp_path):
    flow = ["denoiser.process=flow", "denoiser.prediction=velocity", "upsampler.factor=1"]
    ours = trained(tmp_path / "model", sprites, *flow)
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "model", safety_checker=None)
    theirs.set_progress_bar_config(disable=True)
    assert type(theirs.scheduler) is diffusers.DPMSolverMultistepScheduler
    theirs.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(theirs.scheduler.config, solver_order=1)
    theirs.scheduler.set_timesteps(3)
    sigma = theirs.scheduler.sigmas[:-1].double()
    times = ours.model.diffusion.process.time(Level(1 - sigma, sigma)).tolist()
    settings = {"num_inference_steps": 3, "guidance_scale": 3.0, "width": 16, "height": 16}
    made = ours("two stars", seed=1, solver="euler", times=times, **settings).pictures[0]
    noise = per_sample_noise([1])(torch.empty(1, ours.way.channels, 8, 8))
    expected = theirs("two stars", latents=noise, **settings).images[0]
    assert np.abs(np.asarray(made, dtype=float) - np.asarray(expected)).max() <= 2
