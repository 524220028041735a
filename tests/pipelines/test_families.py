"""Models of other makers run here: the same latents and pictures as their own library gives."""

import numpy as np
import pytest
import tiny_models
import torch

from sfumato.data.pictures import from_images
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import last
from sfumato.pipelines.text_to_image import Pipeline

PROMPT, NEGATIVE = "a photo of a cat", "blurry"
FAMILIES = {"stable": "ddim", "stable_2": "ddim", "xl": "euler"}  # with the solver that their scheduler is


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Each family's pipeline of diffusers, and the folder it was saved in."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            theirs = getattr(tiny_models, name)(folder)
            theirs.set_progress_bar_config(disable=True)
            theirs.save_pretrained(folder / "model")
            made[name] = theirs, folder / "model"
        return made[name]

    return get


@pytest.mark.parametrize("negative", ["", NEGATIVE])
@pytest.mark.parametrize("name", FAMILIES)
def test_four_steps_give_the_latents_and_the_picture_of_diffusers(saved, name, negative):
    theirs, folder = saved(name)
    ours = Pipeline.load(folder, device="cpu")
    plan = ours.requests(
        PROMPT, seed=3, num_inference_steps=4, guidance_scale=3.0, solver=FAMILIES[name], spacing="own",
        negative_prompt=negative, width=32, height=24,
    )  # fmt: skip
    batch = ours.batch(plan)
    with torch.inference_mode():
        latents = last(ours.way.denoise(ours.way.encode([PROMPT], (24, 32)), batch))
    noise = per_sample_noise([3])(torch.empty(latents.shape))  # which each library scales for its first level
    asked = {"num_inference_steps": 4, "guidance_scale": 3.0, "width": 32, "height": 24, "latents": noise}
    asked |= {"negative_prompt": negative} if negative else {}
    expected = theirs(PROMPT, output_type="latent", **asked).images
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)
    picture = theirs(PROMPT, output_type="pil", **asked).images[0]
    made = last_picture(ours, plan)
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(made).astype(int)).max() <= 1


def last_picture(pipeline, requests):
    for step in pipeline.run(requests):
        last = step
    return last.pictures()[0]
