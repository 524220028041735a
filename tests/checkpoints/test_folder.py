"""Model folders: what sfumato writes opens in diffusers and transformers, and damage is refused by name."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from sfumato.checkpoints.folder import load_part
from sfumato.errors import CheckpointError
from sfumato.pipelines.finding import EMBEDDED

DIGITS = EMBEDDED / "digits"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(DIGITS, tmp_path / "model")


def test_the_unet_gives_diffusers_numbers():
    from diffusers import UNet2DConditionModel

    theirs, ours = UNet2DConditionModel.from_pretrained(DIGITS / "unet").float().eval(), load_part(DIGITS, "unet")
    x, t = torch.randn(2, 4, 8, 8), torch.tensor([10.0, 900.0])
    states = torch.randn(2, 16, ours.config.cross_attention_dim)
    with torch.no_grad():
        assert torch.allclose(ours(x, t, states), theirs(x, t, states).sample, atol=1e-5)


def test_the_upsampler_gives_diffusers_numbers():
    from diffusers import UNet2DConditionModel

    theirs = UNet2DConditionModel.from_pretrained(DIGITS / "upsampler").float().eval()
    ours = load_part(DIGITS, "upsampler")
    x, t, amount = torch.randn(2, 6, 32, 32), torch.tensor([10.0, 900.0]), torch.tensor([0.0, 300.0])
    with torch.no_grad():
        assert torch.allclose(
            ours(x, t, class_labels=amount), theirs(x, t, None, class_labels=amount).sample, atol=1e-5
        )


def test_the_autoencoder_gives_diffusers_numbers():
    from diffusers import AutoencoderKL

    theirs, ours = AutoencoderKL.from_pretrained(DIGITS / "vae").float().eval(), load_part(DIGITS, "vae")
    picture = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        mean = ours.encode(picture).mean
        assert torch.allclose(mean, theirs.encode(picture).latent_dist.mean, atol=1e-5)
        assert torch.allclose(ours.decode(mean), theirs.decode(mean).sample, atol=1e-5)
    assert ours.config.scaling_factor == theirs.config.scaling_factor
    assert ours.config.shift_factor == theirs.config.shift_factor


def test_the_encoders_and_the_tokenizer_give_transformers_numbers():
    from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

    from sfumato.data.tokens import Tokenizer

    text, image = load_part(DIGITS, "text_encoder"), load_part(DIGITS, "image_encoder")
    tokenizer = Tokenizer.load(DIGITS / "tokenizer")
    prompts = ["a handwritten seven", "", "the digit 3, somehow"]
    ids = CLIPTokenizer.from_pretrained(DIGITS / "tokenizer")(
        prompts, padding="max_length", max_length=tokenizer.length, return_tensors="pt"
    ).input_ids
    assert torch.equal(tokenizer.encode(prompts), ids)
    with torch.no_grad():
        theirs = CLIPTextModel.from_pretrained(DIGITS / "text_encoder").float().eval()(ids)
        ours = text(ids)
        assert torch.allclose(ours.states, theirs.last_hidden_state, atol=1e-5)
        assert torch.allclose(ours.pooled, theirs.pooler_output, atol=1e-5)
        pixels = torch.randn(2, 3, 32, 32)
        seen = CLIPVisionModelWithProjection.from_pretrained(DIGITS / "image_encoder").float().eval()(pixels)
        assert torch.allclose(image(pixels), seen.image_embeds, atol=1e-5)


def test_the_whole_folder_runs_as_a_pipeline_of_diffusers_and_gives_the_same_latents():
    from diffusers import StableDiffusionPipeline

    from sfumato.diffusion.sampling import last
    from sfumato.pipelines.request import Request
    from sfumato.pipelines.text_to_image import Pipeline

    theirs = StableDiffusionPipeline.from_pretrained(DIGITS, torch_dtype=torch.float32)
    theirs.set_progress_bar_config(disable=True)
    latents = theirs(
        "a handwritten seven",
        num_inference_steps=10,
        guidance_scale=4.0,
        height=32,
        width=32,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).images
    ours = Pipeline.load("digits", device="cpu")
    plan = Request("a handwritten seven", seed=3, num_inference_steps=10, solver="ddim", spacing="own")
    with torch.inference_mode():
        found = last(ours.way.denoise(ours.way.encode([plan.prompt]), ours.batch([plan])))
    # DDIM of diffusers ends at the table's first row with alpha 1 where ours ends at clean: the same level
    assert torch.allclose(found, latents, atol=1e-3)


def rewrite(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("conv_in.bias"), "missing conv_in.bias"),
        (lambda t: t.update(stranger=torch.ones(1)), "not expected stranger"),
        (lambda t: t.update({"conv_in.bias": torch.ones(3)}), "conv_in.bias"),
        (lambda t: t["conv_in.bias"].fill_(float("nan")), "not finite: in conv_in.bias"),
    ],
)
def test_damaged_weights_are_refused_naming_file_and_key(folder, change, said):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    rewrite(path, change)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_part(folder, "unet")
    assert str(path) in str(caught.value)


def test_a_truncated_file_is_refused_by_name(folder):
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_part(folder, "vae")


@pytest.mark.parametrize(
    "change",
    [
        {"layers_per_block": 10**8},
        {"block_out_channels": [-64, -128]},
        {"block_out_channels": [64, 2**40]},
        {"down_block_types": ["Magic", "Magic"]},
        {"down_block_types": 64},
        {"layers_per_block": "many"},
    ],
)
def test_a_configuration_of_no_network_is_refused_at_once(folder, change):
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError):
        load_part(folder, "unet")
