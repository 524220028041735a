"""Vector latents, from a training of seconds to pictures: on the digits, on a folder, from Python and by command."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import sfumato
from sfumato.diffusion.sampling import last
from sfumato.errors import PromptError
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_vectors):
    return sfumato.train("digits", tmp_path_factory.mktemp("vectors") / "model", "vectors", tiny_vectors, quiet=True)


@pytest.fixture(scope="module")
def pipeline(model):
    return sfumato.load(model, device="cpu")


def pixels(result):
    return [np.asarray(picture) for picture in result.pictures]


def test_the_folder_says_its_way_and_holds_its_parts(model):
    index = json.loads((model / "model_index.json").read_text())
    assert index["_class_name"] == "SfumatoVectors"
    assert {"vector_vae", "text_encoder", "prior", "upsampler"} <= set(index)
    assert Pipeline.load(model).final_size == 32


@pytest.mark.parametrize("settings", [{}, {"guidance_scale": 0, "pull": 4}], ids=["guided", "pulled"])
def test_a_picture_does_not_depend_on_its_batch(pipeline, settings):
    settings = {"num_inference_steps": 4, "upsampler_steps": 0, **settings}
    alone = pixels(pipeline("the digit 3", seed=5, **settings))[0]
    batch = pixels(pipeline(["a seven", "the digit 3"], count=3, seed=4, **settings))
    assert np.array_equal(alone, batch[4])
    assert len({picture.tobytes() for picture in batch[:3]}) == 3


def test_the_command_makes_pictures_that_replay_to_the_same_pixels(model, tmp_path):
    def command(*arguments):
        arguments = [sys.executable, "-m", "sfumato", *map(str, arguments)]
        return subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    made = command("generate", "a seven", "--model", model, "--seed", 3, "--steps", 4, "--pull", 2)
    assert made.returncode == 0, made.stderr
    again = command("replay", made.stdout.split()[0])
    assert "the same pixels" in again.stdout


def test_pulled_pictures_come_nearer_to_the_prompt_the_stronger_the_pull(pipeline):
    way = pipeline.way
    with torch.inference_mode():
        prompts = way.encode(["the digit 3"] * 8)

        def distance(pull):
            requests = [Request("the digit 3", i, 8, guidance_scale=0, pull=pull) for i in range(8)]
            return (last(way.denoise(prompts, pipeline.batch(requests))) - prompts.states).square().mean().item()

        distances = [distance(pull) for pull in (0, 1, 10, 1000)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.01 < distances[0]


def test_settings_that_do_not_fit_are_refused(pipeline):
    with pytest.raises(PromptError, match="not the 32 pixels that this model makes"):
        pipeline("a seven", width=48)
    with pytest.raises(PromptError, match="pull is a number from 0"):
        pipeline("a seven", pull=-1)
    with pytest.raises(PromptError, match="pull does nothing with the model digits"):
        sfumato.load("digits", device="cpu")("a seven", pull=1)


def test_one_s_own_folder_trains_by_this_way(tmp_path, tiny_vectors):
    for colour in ("red", "blue"):
        folder = tmp_path / "photos" / f"a {colour} disc"
        folder.mkdir(parents=True)
        for i in range(6):
            picture = Image.new("RGB", (40, 36), "white")
            ImageDraw.Draw(picture).ellipse((4 + i, 4, 24 + i, 24), fill=colour)
            picture.save(folder / f"{i}.png")
    settings = [*tiny_vectors, "data.flip=true", "vectors.steps=3", "prior.steps=3"]
    out = sfumato.train(tmp_path / "photos", tmp_path / "model", "vectors", settings, quiet=True)
    made = sfumato.load(out, device="cpu")("a red disc", seed=1, num_inference_steps=3)
    assert made.pictures[0].size == (32, 32)


def test_a_picture_to_begin_with_stays_the_more_the_less_of_it_is_made_anew(pipeline):
    way, picture = pipeline.way, Image.new("RGB", (32, 32))
    ImageDraw.Draw(picture).ellipse((8, 8, 24, 24), fill="white")

    def distance(strength):
        requests = pipeline.requests("a seven", 4, 1, picture=picture, strength=strength, num_inference_steps=10)
        made = last(way.denoise(way.encode(["a seven"] * 4), pipeline.batch(requests)))
        return (made - way.seen(requests[0].picture)).square().mean().item()

    with torch.inference_mode():
        near, middle, far = map(distance, (0.1, 0.5, 1.0))
    assert near < middle < far
