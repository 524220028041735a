"""What goes with a model: other autoencoders, LoRA and new words, and the recipes that tell of them."""

import json
import shutil

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny_models
from published import QUICK, keep, made, pixels, vae
from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.lora import write_lora
from sfumato.checkpoints.textual_inversion import Embedding, write_embedding
from sfumato.errors import CheckpointError, PromptError
from sfumato.networks.lora import fresh
from sfumato.pipelines import digests
from sfumato.pipelines.given import Given
from sfumato.pipelines.loading import given_again
from sfumato.pipelines.model import load
from sfumato.pipelines.text_to_image import Pipeline

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def other_vae(tmp_path):
    torch.manual_seed(9)
    network = tiny_models.randomised(vae(scaling_factor=0.4))
    with torch.no_grad():
        network.decoder.conv_out.bias += 0.5
    network.save_pretrained(tmp_path / "vae")
    return tmp_path / "vae"


def test_another_autoencoder_is_swapped_in_from_a_folder_a_model_or_a_file(stable, plain, other_vae, tmp_path, cache):
    result = made(stable.file, vae=other_vae)
    assert result.pictures[0].tobytes() != plain
    assert Pipeline.load(stable.file, "cpu", vae=other_vae).model.vae.config.scaling_factor == 0.4
    keep(cache, other_vae, "painter/vae")
    fetched = made(stable.file, vae="painter/vae")
    assert fetched.pictures[0].tobytes() == result.pictures[0].tobytes()
    assert given_again(fetched.recipes[0])["vae"] == "painter/vae"
    whole = shutil.copytree(stable.folder, tmp_path / "model", ignore=shutil.ignore_patterns("vae"))
    shutil.copytree(other_vae, whole / "vae")
    assert pixels(stable.file, vae=whole) == result.pictures[0].tobytes()
    (other_vae / "config.json").write_text(
        json.dumps({k: v for k, v in read_json(other_vae / "config.json").items() if k != "scaling_factor"})
    )
    unsaid = load(stable.folder, vae=other_vae).vae
    assert unsaid.config.scaling_factor == 0.18215  # the model's
    tensors = {n: t for n, t in load_file(stable.file).items() if n.startswith("first_stage_model.")}
    save_file({n.removeprefix("first_stage_model."): t for n, t in tensors.items()}, tmp_path / "alone.safetensors")
    assert pixels(stable.folder, vae=tmp_path / "alone.safetensors") == plain


def test_a_tiny_autoencoder_takes_the_place_of_a_large_one(stable, plain, tmp_path):
    small = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    widths = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    diffusers.AutoencoderTiny(**small, **widths).save_pretrained(tmp_path / "taesd")
    model = load(stable.file, vae=tmp_path / "taesd")
    assert model.vae.config.scaling_factor == 1.0  # its own, not the model's
    assert pixels(stable.file, vae=tmp_path / "taesd") != plain


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"latents": 8}, "is an autoencoder of 8 channels, the model's latents have 4"),
        ({"block_out_channels": (32,), "down_block_types": ("DownEncoderBlock2D",),
          "up_block_types": ("UpDecoderBlock2D",)}, "1 times smaller than pictures, the model's 2"),
    ],
)  # fmt: skip
def test_an_autoencoder_of_other_latents_is_refused(stable, tmp_path, settings, said):
    tiny_models.vae(**{"block_out_channels": (32, 64), "norm_num_groups": 32} | settings).save_pretrained(
        tmp_path / "vae"
    )
    with pytest.raises(CheckpointError, match=said):
        load(stable.file, vae=tmp_path / "vae")


# --- LoRA and words, and their recipes --------------------------------------------------------------------------------


@pytest.fixture
def style(stable, tmp_path):
    """A LoRA of the U-Net and the text encoder."""
    model = load(stable.file)
    torch.manual_seed(1)
    adapters = {name: fresh(model.part(name), 2).requires_grad_(False) for name in ("unet", "text_encoder")}
    for adapter in adapters.values():
        for parameter in adapter.parameters():
            parameter.normal_(std=0.1)
    write_lora(tmp_path / "style.safetensors", adapters, "kohya")
    return tmp_path / "style.safetensors"


@pytest.fixture
def word(tmp_path):
    torch.manual_seed(2)
    write_embedding(tmp_path / "toy.safetensors", Embedding("<toy>", {"text_encoder": torch.randn(2, 64)}))
    return tmp_path / "toy.safetensors"


def test_what_goes_with_a_model_changes_the_picture_and_stands_in_its_recipe(stable, plain, style, word, other_vae):
    beside = {"loras": [f"{style}:0.5", (style, 0.25)], "embeddings": [word], "vae": other_vae}
    pipeline = Pipeline.load(stable.file, "cpu", **beside)
    result = pipeline("a photo of <toy>", **QUICK)
    for left_out in beside:
        rest = {name: value for name, value in beside.items() if name != left_out}
        assert pixels(stable.file, "a photo of <toy>", **rest) != result.pictures[0].tobytes(), left_out
    told = result.recipes[0]["additions"]
    assert [lora["weight"] for lora in told["loras"]] == [0.5, 0.25]
    assert told["loras"][0]["sha256"] == digests.sha256(style)
    recipe = json.loads(json.dumps(result.recipes[0]))
    again = Pipeline.load(recipe["model"], "cpu", **given_again(recipe)).replay(recipe)
    assert again.pictures[0].tobytes() == result.pictures[0].tobytes()
    assert again.recipes == result.recipes
    with pytest.raises(CheckpointError, match=r"made with .*lora.* this one has nothing"):
        Pipeline.load(stable.file, "cpu").replay(recipe)


def test_a_file_that_is_missing_or_changed_is_named_before_a_picture_is_made_again(stable, style, word, other_vae):
    recipe = made(stable.file, loras=[style], embeddings=[word], vae=other_vae).recipes[0]
    write_embedding(word, Embedding("<toy>", {"text_encoder": torch.ones(2, 64)}))
    with pytest.raises(CheckpointError, match=r"with --embedding .*toy\.safetensors.*changed since"):
        given_again(recipe)
    style.unlink()
    with pytest.raises(CheckpointError, match=r"with --lora .*style\.safetensors.*is not there"):
        given_again(recipe)
    shutil.rmtree(other_vae)
    with pytest.raises(CheckpointError, match=r"with --vae .*is not there"):
        given_again(recipe)
    with pytest.raises(PromptError, match="damaged in its additions"):
        given_again(recipe | {"additions": {"loras": [3]}})


def test_a_recipe_from_elsewhere_neither_fetches_nor_reads_without_end(stable, cache, tmp_path):
    recipe = made(stable.file).recipes[0]
    for what in ({"base": {"model": "painter/cats", "fingerprint": "0" * 16}}, {"vae": {"file": "painter/cats"}}):
        entry = {name: {"sha256": "0" * 64, **each} for name, each in what.items()}
        with pytest.raises(CheckpointError, match=r"painter/cats.*not fetched for a recipe"):
            given_again(recipe | {"additions": entry})
    with pytest.raises(CheckpointError, match=r"/dev/zero is no file"):
        given_again(recipe | {"additions": {"loras": [{"file": "/dev/zero", "sha256": "0" * 64, "weight": 1}]}})
    with pytest.raises(PromptError, match=r"/dev/zero is no file"):
        Given("/dev/zero", "0" * 64).open()
