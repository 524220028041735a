"""ControlNets, T2I- and IP-adapters and the x2 upscaler: the same latents and pictures as diffusers' pipelines give."""

import json
import shutil
from dataclasses import fields

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import tiny_models
from sfumato.checkpoints.folder import save_part
from sfumato.diffusion.levels import Level
from sfumato.diffusion.noise import per_sample_noise
from sfumato.diffusion.processes import Cosine
from sfumato.diffusion.sampling import last
from sfumato.diffusion.solvers.restart import with_restarts
from sfumato.diffusion.times import timetable
from sfumato.errors import CheckpointError, PromptError
from sfumato.networks.controlnet import ControlNet, ControlNetConfig
from sfumato.pipelines.attached import span_of
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
        theirs = type(base).from_pretrained(folder)
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


@pytest.mark.parametrize(("name", "negative"), [("doubler", ""), ("doubler", NEGATIVE), ("doubler_deep", NEGATIVE)])
def test_a_picture_is_doubled_as_in_diffusers(saved, monkeypatch, name, negative):
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Posterior

    monkeypatch.setattr(Posterior, "sample", lambda self, generator=None: self.mode())
    theirs, folder = saved(name)
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


# --- requests -----------------------------------------------------------------------------------------------------


@pytest.fixture
def controlnet(saved, tmp_path):
    """A pipeline, and a ControlNet for it with a picture, both in files."""
    base, folder = saved("stable")
    tiny_models.controlnet(base.unet).save_pretrained(tmp_path / "edges")
    photo().save(tmp_path / "edges.png")
    control = {"network": tmp_path / "edges", "picture": tmp_path / "edges.png", "scale": 0.7, "end": 0.5}
    return Pipeline.load(folder, device="cpu"), control


QUICK = {"seed": 1, "num_inference_steps": 2, "width": WIDTH, "height": HEIGHT}


def test_a_recipe_names_networks_and_pictures_and_refuses_others(saved, adapters, controlnet, tmp_path):
    _, control = controlnet
    _, ours, [path] = adapters("stable", "base")
    like = {"adapter": path, "pictures": [tmp_path / "edges.png"], "scale": {"up_blocks": 0.5}}
    made = ours(PROMPT, control=[control], like=[like], **QUICK)
    recipe = json.loads(json.dumps(made.recipes[0]))
    assert recipe["request"]["control"][0]["picture"]["sha256"]
    again = Pipeline.load(saved("stable")[1], device="cpu").replay(recipe)
    assert again.pictures[0].tobytes() == made.pictures[0].tobytes()
    assert json.loads(json.dumps(again.recipes[0])) == recipe

    photo(5).save(tmp_path / "edges.png")
    with pytest.raises(PromptError, match=r"edges\.png is not the picture"):
        ours.replay(recipe)
    photo().save(tmp_path / "edges.png")
    for file, name in ((path, "0.safetensors"), (tmp_path / "edges" / "config.json", "edges")):
        kept = file.read_bytes()
        if file.suffix == ".json":
            file.write_bytes(kept + b"\n")
        else:
            tiny_models.ip_adapter(file, saved("stable")[0].unet, seed=9)
        with pytest.raises(CheckpointError, match=f"{name} has the fingerprint .* made with"):
            ours.replay(recipe)
        file.write_bytes(kept)
    assert ours.replay(recipe).pictures[0].tobytes() == made.pictures[0].tobytes()


@pytest.mark.parametrize(("setting", "name"), [("control", "edges"), ("like", "0.safetensors")])
def test_a_recipe_that_does_not_tell_its_networks_or_pictures_for_certain_is_refused(
    adapters, controlnet, tmp_path, setting, name
):
    _, control = controlnet
    _, ours, [path] = adapters("stable", "base")
    like = {"adapter": path, "pictures": [tmp_path / "edges.png"]}
    recipe = json.loads(json.dumps(ours.recipe(ours.requests(PROMPT, control=[control], like=[like], **QUICK)[0])))
    (told,) = recipe["request"][setting]
    known, told["fingerprint"] = told["fingerprint"], ""
    with pytest.raises(PromptError, match=f"does not tell the fingerprint of .*{name}"):
        ours.replay(recipe)
    told["fingerprint"] = known
    (told["picture"] if setting == "control" else told["pictures"][0])["sha256"] = ""
    with pytest.raises(PromptError, match="64 hex digits"):
        ours.replay(recipe)


def test_networks_are_loaded_once_and_again_when_their_file_is_another(controlnet, monkeypatch, tmp_path, saved):
    from sfumato.pipelines import attachments

    ours, control = controlnet
    loaded, load = [], attachments.load_network
    monkeypatch.setattr(attachments, "load_network", lambda *given: loaded.append(given[0]) or load(*given))
    first, second = (ours(PROMPT, control=[control], **QUICK).pictures[0] for _ in range(2))
    assert len(loaded) == 1
    assert first.tobytes() == second.tobytes()
    shutil.rmtree(tmp_path / "edges")
    network = tiny_models.controlnet(saved("stable")[0].unet)
    network.controlnet_mid_block.weight.data.neg_()
    network.save_pretrained(tmp_path / "edges")
    assert ours(PROMPT, control=[control], **QUICK).pictures[0].tobytes() != first.tobytes()
    assert len(loaded) == 2


@pytest.mark.parametrize("more", [{"guess": True}, {"start": 0.5, "end": 1.0}])
def test_controlled_pictures_do_not_depend_on_their_batch(adapters, controlnet, tmp_path, more):
    _, control = controlnet
    _, ours, [path] = adapters("stable", "plus")
    asked = QUICK | {"control": [control | more], "like": [{"adapter": path, "pictures": photo(3)}]}
    asked["num_inference_steps"] = 4
    prompts = [PROMPT, "an oil painting of the sea AND a red panda:0.5"]
    together = ours(prompts, **asked)
    for prompt, picture in zip(prompts, together.pictures, strict=True):
        assert ours(prompt, **asked).pictures[0].tobytes() == picture.tobytes()
    assert together.pictures[0].tobytes() != together.pictures[1].tobytes()


@pytest.mark.parametrize(
    ("guidance", "solver"), [("pag", "unipc-2"), ("apg", "ddim"), ("cfg++", "ddim"), ("cfg", "heun")]
)
def test_every_guidance_and_solver_goes_with_a_control(controlnet, guidance, solver):
    ours, control = controlnet
    settings = QUICK | {"guidance": guidance, "solver": solver}
    controlled, free = (ours(PROMPT, **settings, **more).pictures[0] for more in ({"control": [control]}, {}))
    assert controlled.tobytes() != free.tobytes()


def test_guidance_by_clip_takes_its_gradient_through_a_controlnet(tmp_path):
    ours = Pipeline.load("digits", device="cpu")
    config = ours.model.unet.config.to_dict()
    known = {field.name for field in fields(ControlNetConfig)}
    more = {"conditioning_embedding_out_channels": [4] * ours.way.factor.bit_length()}
    told = {name: value for name, value in config.items() if name in known} | more
    network = ControlNet(ControlNetConfig.from_dict(told)).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(1))
    save_part(tmp_path, "controlnet", network)
    control = {"network": tmp_path / "controlnet", "picture": photo()}
    asked = {"seed": 1, "num_inference_steps": 2, "upsampler_steps": 0, "guidance": "clip"}
    first, free = (ours("7", **asked, **more).pictures[0] for more in ({"control": [control]}, {}))
    assert first.tobytes() != free.tobytes()
    assert first.tobytes() == ours("7", **asked, control=[control]).pictures[0].tobytes()


WRONG = {
    "there is none": ({"network": "nowhere"}, "nowhere is no folder of a ControlNet"),
    "no picture": ({"picture": "nowhere.png"}, "no picture nowhere.png"),
    "not a number": ({"scale": "much"}, "scale of a control is a number from -10 to 10"),
    "not finite": ({"scale": float("nan")}, "scale of a control"),
    "backwards": ({"start": 0.6, "end": 0.4}, "starts before it ends"),
    "no step": ({"start": 0.1, "end": 0.3}, "Of 2 steps none lies between 0.1 and 0.3"),
    "a strange word": ({"strength": 1}, "Each control is a table of network, picture"),
    "a fingerprint that is none": ({"fingerprint": "x"}, "16 hex digits"),
    "guess in words": ({"guess": "yes"}, "guess of a control is true or false"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_control_is_named(controlnet, what):
    ours, control = controlnet
    change, message = WRONG[what]
    with pytest.raises((PromptError, CheckpointError), match=message):
        ours(PROMPT, control=[control | change], **QUICK)
    with pytest.raises(PromptError, match="control is a list of at most 8"):
        ours(PROMPT, control=[control] * 9, **QUICK)


MISFITS = {
    "other widths": (lambda unet: tiny_models.controlnet(tiny_models.unet(block_out_channels=(8, 24))), "the way down"),
    "other words": (
        lambda unet: tiny_models.controlnet(tiny_models.unet(cross_attention_dim=20)), "cross_attention_dim should be"
    ),
    "larger pictures": (
        lambda unet: tiny_models.controlnet(unet, conditioning_embedding_out_channels=(4, 4, 4)),
        "how many pixels are a latent should be 2, not 4",
    ),
    "an adapter for finer features": (lambda unet: tiny_models.t2i_adapter(), "features 0 should have 12 .* and 1/2"),
    "an adapter of other widths": (
        lambda unet: tiny_models.t2i_adapter(channels=(12, 20), downscale_factor=4, adapter_type="full_adapter_xl"),
        "features 1 should have 24 channels",
    ),
    "an adapter of more blocks": (lambda unet: tiny_models.t2i_adapter(channels=(12,) * 4), "makes 4 maps"),
    "a U-Net": (lambda unet: unet, "a controlnet may be: ControlNetModel, T2IAdapter"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISFITS)
def test_a_network_for_another_kind_of_model_is_refused(controlnet, saved, tmp_path, what):
    ours, control = controlnet
    make, message = MISFITS[what]
    make(saved("stable")[0].unet).save_pretrained(tmp_path / "other")
    with pytest.raises(CheckpointError, match=message):
        ours(PROMPT, control=[control | {"network": tmp_path / "other"}], **QUICK)


def test_what_is_wrong_with_pictures_to_be_like_is_named(adapters, tmp_path):
    _, ours, [path] = adapters("stable", "base")
    like = {"adapter": path, "pictures": photo()}
    for change, error, message in (
        ({"adapter": tmp_path / "none"}, CheckpointError, "no IP-Adapter"),
        ({"pictures": []}, PromptError, "takes 1 to 16 pictures"),
        ({"scale": {"nowhere": 1.0}}, PromptError, "no cross-attention of this U-Net"),
        ({"encoder": tmp_path / "none"}, CheckpointError, r"there is none in .*none\. Name its folder"),
    ):
        with pytest.raises(error, match=message):
            ours(PROMPT, like=[like | change], **QUICK)
    tiny_models.image_encoder(project=18).save_pretrained(tmp_path / "narrow" / "image_encoder")
    with pytest.raises(CheckpointError, match=r"takes 20 numbers .* gives 18"):
        ours(PROMPT, like=[like | {"encoder": tmp_path / "narrow" / "image_encoder"}], **QUICK)
    shutil.move(tmp_path / "models" / "image_encoder", tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="there is none in"):
        Pipeline(ours.model)(PROMPT, like=[like], **QUICK)
    assert Pipeline(ours.model)(PROMPT, like=[like | {"encoder": tmp_path / "elsewhere"}], **QUICK).pictures


def test_a_model_without_a_u_net_of_latents_takes_no_control(saved, controlnet):
    _, control = controlnet
    doubler = Pipeline.load(saved("doubler")[1], device="cpu")
    with pytest.raises(PromptError, match="has no U-Net of latents"):
        doubler(PROMPT, picture=photo(), control=[control])
    with pytest.raises(PromptError, match="it takes a picture"):
        doubler(PROMPT)
    with pytest.raises(PromptError, match="strength does nothing"):
        doubler(PROMPT, picture=photo(), strength=0.5)
    with pytest.raises(PromptError, match="at least 16 pixels a side"):
        doubler(PROMPT, picture=photo(), width=8, height=8)


# --- levels -------------------------------------------------------------------------------------------------------


def test_a_span_of_the_steps_is_one_of_levels_of_any_length():
    levels = timetable(Cosine(), 10)
    span = span_of(levels, 0.2, 0.7)
    for length in (1.0, 7.3, 1e-3):
        here = Level(levels.alpha * length, levels.sigma * length)
        assert span.holds(here).tolist() == [2 <= i < 7 for i in range(11)]
    between = Level((levels.alpha[1:] + levels.alpha[:-1]) / 2, (levels.sigma[1:] + levels.sigma[:-1]) / 2)
    assert span.holds(between).tolist() == [2 <= i < 7 for i in range(10)]
    assert bool(span_of(levels, 0, 1).holds(levels).all())
    again = with_restarts(levels)
    assert len(again) > len(levels)
    assert span_of(again, 0.2, 0.7) == span
