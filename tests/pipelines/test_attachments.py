"""ControlNets, T2I- and IP-adapters and the x2 upscaler: the same latents and pictures as diffusers' pipelines give."""


import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import tiny_models
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.sampling import last
from sfumato.pipelines.text_to_image import Pipeline

PROMPT, NEGATIVE = "a photo of a cat", "blurry"
SOLVERS = {"stable": "ddim", "attentive": "ddim", "xl": "euler"}
WIDTH, HEIGHT = 32, 24
ATTENTIVE = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Each family's pipeline of diffusers, and the folder it was saved in."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            if name == "attentive":  # as Stable Diffusion begins, where adapters add to the finest states
                theirs = tiny_models.stable(folder, unet=tiny_models.unet(**ATTENTIVE))
            else:
                theirs = getattr(tiny_models, name)(folder)
            theirs.save_pretrained(folder / "model")
            made[name] = theirs, folder / "model"
        return made[name]

    return get


def photo(seed=0, width=WIDTH, height=HEIGHT):
    values = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def close(found, expected):
    assert found.size == expected.size
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected).astype(int)).max() <= 1


def same(theirs, ours, name, asked, **settings):
    """Four guided steps give the latents of diffusers, and its picture; and others than without what is attached."""
    theirs.set_progress_bar_config(disable=True)
    plan = ours.requests(
        PROMPT, seed=3, num_inference_steps=4, guidance_scale=3.0, solver=SOLVERS[name], spacing="own",
        negative_prompt=NEGATIVE, width=WIDTH, height=HEIGHT, **settings,
    )  # fmt: skip
    latents = denoised(ours, plan)
    noise = per_sample_noise([3])(torch.empty(latents.shape))
    asked |= {"num_inference_steps": 4, "guidance_scale": 3.0, "width": WIDTH, "height": HEIGHT, "latents": noise}
    expected = theirs(PROMPT, negative_prompt=NEGATIVE, output_type="latent", **asked).images
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)
    for step in ours.run(plan):
        done = step
    close(done.pictures()[0], theirs(PROMPT, negative_prompt=NEGATIVE, output_type="pil", **asked).images[0])
    free = Pipeline(ours.model).requests(PROMPT, seed=3, **{
        **{key: getattr(plan[0], key) for key in ("num_inference_steps", "guidance_scale", "solver", "spacing")},
        "negative_prompt": NEGATIVE, "width": WIDTH, "height": HEIGHT,
    })  # fmt: skip
    assert (denoised(ours, free) - latents).abs().max() > 0.01


def denoised(pipeline, plan):
    with torch.inference_mode():
        batch = pipeline.batch(plan)
        return last(pipeline.way.denoise(pipeline.way.encode(batch.prompts, batch), batch))


# --- ControlNets --------------------------------------------------------------------------------------------------

CONTROLS = {
    "one": [{"scale": 0.7}],
    "for a part of the steps": [{"start": 0.25, "end": 0.8}],
    "for the prompt alone": [{"guess": True}],
    "two": [{"scale": 0.7, "end": 0.5}, {"scale": 1.2}],
}


@pytest.mark.parametrize("how", CONTROLS)
@pytest.mark.parametrize("name", ["stable", "xl"])
def test_controlnets_steer_as_in_diffusers(saved, tmp_path, name, how):
    base, folder = saved(name)
    networks, pictures = [], []
    for number, _ in enumerate(CONTROLS[how]):
        more = {"controlnet_conditioning_channel_order": "bgr"} if number else {}
        networks.append(tiny_models.controlnet(base.unet, **more))
        networks[-1].save_pretrained(tmp_path / str(number))
        pictures.append(photo(number))
    controlled(base, networks, pictures, Pipeline.load(folder, device="cpu"), name, tmp_path, CONTROLS[how])


@pytest.mark.parametrize("name", ["stable", "xl"])
def test_a_controlnet_of_pooled_conditions_corrects_what_the_prompt_makes_alone(saved, tmp_path, name):
    base, folder = saved(name)
    network = tiny_models.controlnet(base.unet)
    network.register_to_config(global_pool_conditions=True)
    network.save_pretrained(tmp_path / "0")
    controlled(base, [network], [photo()], Pipeline.load(folder, device="cpu"), name, tmp_path, [{}])


def controlled(base, networks, pictures, ours, name, folder, each):
    kind = {
        "stable": diffusers.StableDiffusionControlNetPipeline,
        "xl": diffusers.StableDiffusionXLControlNetPipeline,
    }[name]
    several = len(networks) > 1
    more = {"requires_safety_checker": False} if name == "stable" else {}
    theirs = kind(**base.components, controlnet=networks if several else networks[0], **more)

    def told(key, usual):
        values = [settings.get(key, usual) for settings in each]
        return values if several else values[0]

    asked = {
        "image": pictures if several else pictures[0],
        "controlnet_conditioning_scale": told("scale", 1.0),
        "control_guidance_start": told("start", 0.0),
        "control_guidance_end": told("end", 1.0),
        "guess_mode": any(settings.get("guess") for settings in each),
    }
    control = [
        {"network": folder / str(number), "picture": picture, **settings}
        for number, (picture, settings) in enumerate(zip(pictures, each, strict=True))
    ]
    same(theirs, ours, name, asked, control=control)


# --- T2I-Adapters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_t2i_adapters_steer_as_in_diffusers(saved, tmp_path, count):
    base, folder = saved("attentive")
    networks = [tiny_models.t2i_adapter(), tiny_models.t2i_adapter(in_channels=1)][:count]
    pictures = [photo(), photo(1).convert("L")][:count]
    for number, network in enumerate(networks):
        network.save_pretrained(tmp_path / str(number))
    scales = [0.8, 0.5][:count]
    parts = {key: value for key, value in base.components.items() if key != "image_encoder"}
    theirs = diffusers.StableDiffusionAdapterPipeline(
        **parts, adapter=networks[0] if count == 1 else diffusers.MultiAdapter(networks), requires_safety_checker=False
    )
    if count == 2:  # diffusers hands all of them pictures of three channels or of one, so that they must be the same
        theirs.adapter.forward = lambda xs, scales: [
            scales[0] * one + scales[1] * two
            for one, two in zip(networks[0](xs[0]), networks[1](xs[1]), strict=True)
        ]  # fmt: skip
    asked = {
        "image": pictures if count > 1 else pictures[0],
        "adapter_conditioning_scale": scales if count > 1 else scales[0],
    }
    control = [
        {"network": tmp_path / str(number), "picture": picture.convert("RGB"), "scale": scale}
        for number, (picture, scale) in enumerate(zip(pictures, scales, strict=True))
    ]
    same(theirs, Pipeline.load(folder, device="cpu"), "attentive", asked, control=control)


@pytest.mark.parametrize("factor", [1.0, 0.6])
def test_t2i_adapters_of_xl_steer_a_part_of_the_steps_as_in_diffusers(saved, tmp_path, factor):
    base, folder = saved("xl")
    network = tiny_models.t2i_adapter(downscale_factor=4, adapter_type="full_adapter_xl")
    network.save_pretrained(tmp_path / "adapter")
    theirs = diffusers.StableDiffusionXLAdapterPipeline(**base.components, adapter=network)
    asked = {"image": photo(), "adapter_conditioning_scale": 0.8, "adapter_conditioning_factor": factor}
    control = [{"network": tmp_path / "adapter", "picture": photo(), "scale": 0.8, "end": factor}]
    same(theirs, Pipeline.load(folder, device="cpu"), "xl", asked, control=control)


# --- IP-Adapters --------------------------------------------------------------------------------------------------


@pytest.fixture
def adapters(saved, tmp_path):
    """Files of IP-Adapters with their image encoder beside them, and diffusers with them in it."""

    def make(name, *kinds):
        base, folder = saved(name)
        copy = type(base).from_pretrained(folder, safety_checker=None) if name == "stable" else type(base)
        theirs = copy if name == "stable" else type(base).from_pretrained(folder)
        paths = [
            tiny_models.ip_adapter(tmp_path / "models" / f"{number}.safetensors", theirs.unet, kind, seed=number)
            for number, kind in enumerate(kinds)
        ]
        tiny_models.image_encoder().save_pretrained(tmp_path / "models" / "image_encoder")
        theirs.load_ip_adapter(tmp_path, subfolder="models", weight_name=[path.name for path in paths])
        return theirs, Pipeline.load(folder, device="cpu"), paths

    return make


@pytest.mark.parametrize("kind", ["base", "plus"])
@pytest.mark.parametrize("name", ["stable", "xl"])
def test_pictures_are_followed_as_in_diffusers(adapters, name, kind):
    theirs, ours, [path] = adapters(name, kind)
    theirs.set_ip_adapter_scale(0.6)
    picture = photo(2, 60, 40)
    same(theirs, ours, name, {"ip_adapter_image": picture}, like=[{"adapter": path, "pictures": picture, "scale": 0.6}])


def test_several_adapters_and_pictures_are_followed_each_by_its_scale_as_in_diffusers(adapters):
    theirs, ours, paths = adapters("stable", "base", "plus")
    theirs.set_ip_adapter_scale([{"down": 0.5}, 0.7])
    pictures = [[photo(2, 60, 40), photo(3, 28, 28)], [photo(4, 44, 100)]]
    like = [
        {"adapter": paths[0], "pictures": pictures[0], "scale": {"down_blocks": 0.5}},
        {"adapter": paths[1], "pictures": pictures[1], "scale": 0.7},
    ]
    same(theirs, ours, "stable", {"ip_adapter_image": pictures}, like=like)


# --- the upscaler -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("negative", ["", NEGATIVE])
def test_a_picture_is_doubled_as_in_diffusers(saved, monkeypatch, negative):
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Posterior

    monkeypatch.setattr(Posterior, "sample", lambda self, generator=None: self.mode())
    theirs, folder = saved("doubler")
    theirs.set_progress_bar_config(disable=True)
    ours, picture = Pipeline.load(folder, device="cpu"), photo(0, 16, 24)
    plan = ours.requests(
        PROMPT, seed=3, num_inference_steps=4, guidance_scale=3.0, solver="euler", spacing="own",
        negative_prompt=negative, picture=picture,
    )  # fmt: skip
    latents = denoised(ours, plan)
    assert latents.shape == (1, 4, 24, 16)
    theirs.scheduler.set_timesteps(4)
    most = theirs.scheduler.sigmas[0]
    noise = (
        per_sample_noise([3])(torch.empty(latents.shape)) * (most**2 + 1) ** 0.5 / most
    )  # there it has none of the picture
    asked = {"image": picture, "num_inference_steps": 4, "guidance_scale": 3.0, "latents": noise}
    asked |= {"negative_prompt": negative} if negative else {}
    expected = theirs(PROMPT, output_type="latent", **asked).images
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)
    close(
        ours(PROMPT, seed=3, **settings_of(plan[0])).pictures[0], theirs(PROMPT, output_type="pil", **asked).images[0]
    )


def settings_of(request):
    names = ("num_inference_steps", "guidance_scale", "solver", "spacing", "negative_prompt", "picture", "like")
    return {name: getattr(request, name) for name in (*names, "control", "width", "height")}
