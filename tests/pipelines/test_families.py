"""Models of other makers run here: the same latents and pictures as their own library gives."""

import sys
import warnings

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import tiny_models
from sfumato.data.pictures import from_images
from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import last
from sfumato.errors import PromptError
from sfumato.pipelines.text_to_image import Pipeline, PromptWarning

PROMPT, NEGATIVE = "a photo of a cat", "blurry"
FAMILIES = {  # with the solver that their scheduler is
    "stable": "ddim",
    "stable_2": "ddim",
    "xl": "euler",
    "sd3": "euler",
    "sd3_without_t5": "euler",
    "pixart": "ddim",
    "pixart_alpha": "ddim",
    "stable_deep": "ddim",  # the same families in other widths, depths and kinds
    "stable_2_base": "ddim",
    "xl_deep": "euler",
    "sd3_medium": "euler",
    "sd3_large": "euler",
    "pixart_deep": "ddim",
    "pixart_alpha_512": "ddim",
}


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


def times_of(theirs, ours):
    """The times of a flow's own scheduler, whose last step ends it all at once; ours are even."""
    if not isinstance(theirs.scheduler, diffusers.FlowMatchEulerDiscreteScheduler):
        return None
    theirs.scheduler.set_timesteps(4)
    sigma = theirs.scheduler.sigmas[:-1].double()
    return ours.model.diffusion.process.time(Level(1 - sigma, sigma)).tolist()


@pytest.mark.parametrize("negative", ["", NEGATIVE])
@pytest.mark.parametrize("name", FAMILIES)
def test_four_steps_give_the_latents_and_the_picture_of_diffusers(saved, name, negative):
    theirs, folder = saved(name)
    ours = Pipeline.load(folder, device="cpu")
    plan = ours.requests(
        PROMPT, seed=3, num_inference_steps=4, guidance_scale=3.0, solver=FAMILIES[name], spacing="own",
        negative_prompt=negative, width=32, height=24, times=times_of(theirs, ours),
    )  # fmt: skip
    batch = ours.batch(plan)
    with torch.inference_mode():
        latents = last(ours.way.denoise(ours.way.encode([PROMPT], batch), batch))
    noise = per_sample_noise([3])(torch.empty(latents.shape))  # which each library scales for its first level
    asked = {"num_inference_steps": 4, "guidance_scale": 3.0, "width": 32, "height": 24, "latents": noise}
    asked |= {"negative_prompt": negative} if negative else {}
    asked |= {"use_resolution_binning": False} if name.startswith("pixart") else {}
    expected = theirs(PROMPT, output_type="latent", **asked).images
    largest = max(1.0, expected.abs().max().item())  # a random network that predicts noise blows some of them up
    torch.testing.assert_close(latents, expected, atol=1e-4 * largest, rtol=1e-4)
    picture = theirs(PROMPT, output_type="pil", **asked).images[0]
    made = last_picture(ours, plan)
    close(made, picture)


@pytest.mark.parametrize("name", ["flux", "flux_schnell", "flux_deep", "flux_schnell_deep"])
def test_flux_gives_the_latents_and_the_picture_of_diffusers(saved, name):
    theirs, folder = saved(name)
    ours = Pipeline.load(folder, device="cpu")
    dev = "schnell" not in name
    told = {"guidance_scale": 3.0} if dev else {}
    settings = {"num_inference_steps": 4, "width": 32, "height": 24}
    noise = per_sample_noise([3])(torch.empty(1, 16, 12, 16))
    packed = theirs._pack_latents(noise, 1, 16, 12, 16)
    length = 512 if dev else 256
    expected = theirs(PROMPT, latents=packed, max_sequence_length=length, **told, **settings).images[0]
    close(ours(PROMPT, seed=3, solver="euler", spacing="own", **told, **settings).pictures[0], expected)


HEARD = {"pixart_alpha": 120, "pixart": 300, "sd3": 256, "flux_schnell": 256, "flux": 512}


@pytest.mark.parametrize(("name", "tokens"), HEARD.items())
def test_what_t5_does_not_see_of_a_prompt_is_named(saved, name, tokens):
    _, folder = saved(name)
    ours = Pipeline.load(folder, device="cpu")
    fits = "cat " * (tokens - 4) + "(cat:1.2) cat"  # a space before a bracket is a token, and so is the end
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(ours.run(ours.requests(fits, num_inference_steps=1, width=32, height=24)))
    with pytest.warns(PromptWarning, match=f"{tokens} tokens that T5 reads; left out is: ' of a photo'"):
        next(ours.run(ours.requests(f"{fits} of a photo", num_inference_steps=1, width=32, height=24)))


def test_a_model_that_guides_itself_takes_a_scale_and_no_negative_prompt(saved):
    _, folder = saved("flux")
    ours = Pipeline.load(folder, device="cpu")
    assert ours.requests(PROMPT)[0].guidance_scale == 3.5
    with pytest.raises(PromptError, match="guides itself"):
        ours(PROMPT, negative_prompt=NEGATIVE, width=32, height=24)


def test_a_latent_consistency_model_makes_pictures_by_its_own_settings(saved):
    _, folder = saved("lcm")
    ours = Pipeline.load(folder, device="cpu")
    plan = ours.requests(PROMPT, seed=3)[0]
    assert (plan.solver, plan.num_inference_steps, plan.guidance_scale) == ("lcm", 4, 8.5)
    weak, strong = (ours(PROMPT, seed=3, guidance_scale=scale).pictures[0].tobytes() for scale in (1.5, 8.5))
    assert weak != strong


def last_picture(pipeline, requests):
    for step in pipeline.run(requests):
        last = step
    return last.pictures()[0]


@pytest.fixture
def surely(monkeypatch):
    """diffusers with the mean of the autoencoder's posterior, as ours takes it, in the place of a sample."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Posterior

    monkeypatch.setattr(Posterior, "sample", lambda self, generator=None: self.mode())


def photo(width, height):
    values = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def close(found, expected):
    assert found.size == expected.size
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected).astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["refiner", "refiner_deep"])
def test_a_picture_goes_part_of_the_way_back_and_is_refined_as_in_diffusers(saved, surely, monkeypatch, name):
    theirs, folder = saved(name)
    ours, picture = Pipeline.load(folder, device="cpu"), photo(32, 24)
    noise = per_sample_noise([3])(torch.empty(1, 4, 12, 16))
    module = sys.modules[type(theirs).__module__]
    monkeypatch.setattr(module, "randn_tensor", lambda shape, **_: noise)
    settings = {"num_inference_steps": 6, "guidance_scale": 3.0, "negative_prompt": NEGATIVE}
    expected = theirs(PROMPT, image=picture, strength=0.5, **settings).images[0]
    made = ours(PROMPT, seed=3, picture=picture, strength=0.5, solver="euler", spacing="own", **settings)
    close(made.pictures[0], expected)
    assert made.recipes[0]["request"]["picture"]["sha256"]


@pytest.mark.parametrize("name", ["inpaint", "inpaint_deep"])
def test_a_masked_part_is_painted_anew_as_in_diffusers(saved, surely, name):
    theirs, folder = saved(name)
    ours, picture = Pipeline.load(folder, device="cpu"), photo(32, 24)
    mask = Image.new("L", (32, 24))
    mask.paste(255, (8, 4, 24, 16))
    noise = per_sample_noise([3])(torch.empty(1, 4, 12, 16))
    settings = {"num_inference_steps": 4, "guidance_scale": 3.0, "negative_prompt": NEGATIVE}
    expected = theirs(
        PROMPT, image=picture, mask_image=mask, width=32, height=24, latents=noise, strength=1.0, **settings
    )
    made = ours(PROMPT, seed=3, picture=picture, mask=mask, paste=False, solver="ddim", spacing="own", **settings)
    close(made.pictures[0], expected.images[0])
    with pytest.raises(PromptError, match="takes a picture and a mask"):
        ours(PROMPT)


@pytest.mark.parametrize("name", ["upscale", "upscale_deep"])
def test_a_small_picture_is_enlarged_four_times_as_in_diffusers(saved, monkeypatch, name):
    theirs, folder = saved(name)
    ours, picture = Pipeline.load(folder, device="cpu"), photo(16, 12)
    noise, low = (
        per_sample_noise([3])(torch.empty(1, 4, 12, 16)),
        per_sample_noise([3], "small")(torch.empty(1, 3, 12, 16)),
    )
    monkeypatch.setattr(sys.modules[type(theirs).__module__], "randn_tensor", lambda shape, **_: low)
    settings = {"num_inference_steps": 4, "guidance_scale": 3.0, "negative_prompt": NEGATIVE}
    expected = theirs(PROMPT, image=picture, latents=noise, **settings).images[0]
    made = ours(PROMPT, seed=3, picture=picture, solver="ddim", spacing="own", **settings)
    close(made.pictures[0], expected)


def test_what_a_mask_leaves_stays_with_a_model_that_knows_no_masks(saved):
    _, folder = saved("stable")
    ours, picture = Pipeline.load(folder, device="cpu"), photo(32, 24)
    mask = Image.new("L", (32, 24))
    mask.paste(255, (0, 0, 16, 24))
    with torch.inference_mode():
        batch = ours.batch(ours.requests(PROMPT, seed=1, picture=picture, mask=mask, num_inference_steps=3))
        made = last(ours.way.denoise(ours.way.encode([PROMPT], batch), batch))
        known = ours.model.vae.latent(ours.model.vae.encode(from_images([picture])).mean)
    torch.testing.assert_close(made[..., 8:], known[..., 8:], atol=1e-5, rtol=1e-5)
    assert (made[..., :8] - known[..., :8]).abs().mean() > 0.1


def test_a_picture_that_nothing_enlarges_is_decoded_once(saved, monkeypatch):
    _, folder = saved("stable")
    ours, decoded = Pipeline.load(folder, device="cpu"), []
    kind = type(ours.model.vae)
    decode = kind.decode
    monkeypatch.setattr(kind, "decode", lambda vae, z: decoded.append(len(z)) or decode(vae, z))
    ours(PROMPT, seed=1, num_inference_steps=2, width=32, height=24)
    assert decoded == [1]
