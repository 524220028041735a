"""Models as people have them: folders, single files, hub ids, and parts of several."""

import json
import shutil

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import published
import tiny_models
from published import BETAS, PROMPT, clip, keep, made, pixels, saved, unet, vae
from sfumato.checkpoints.single.sources import Listed
from sfumato.checkpoints.single.writing import write_folder
from sfumato.checkpoints.tensors import Safetensors
from sfumato.data.tokens import CLIP_SIZE, Tokenizer
from sfumato.errors import CheckpointError, PromptError
from sfumato.pipelines import digests
from sfumato.pipelines.facts import facts
from sfumato.pipelines.finding import find
from sfumato.pipelines.loading import given_again
from sfumato.pipelines.model import load
from sfumato.pipelines.readers import WithoutT5
from sfumato.pipelines.text_to_image import Pipeline

pytestmark = pytest.mark.usefixtures("cache")


def test_clips_numbers_are_the_well_known_ones_and_those_of_transformers(tmp_path):
    text = "a photo of a cat, 漢字 Café's 3rd!!"
    assert Tokenizer.clip().encode([PROMPT])[0, :8].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407, 49407]
    for pad, number in (("<|endoftext|>", 49407), ("!", 0)):
        ours = Tokenizer.clip(pad)
        ours.save(tmp_path / "tokenizer")
        theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path / "tokenizer")
        assert len(theirs) == CLIP_SIZE
        expected = theirs(text, padding="max_length", max_length=77)["input_ids"]
        assert ours.encode([text])[0].tolist() == expected
        assert expected[-1] == number


@pytest.mark.parametrize("form", ["safetensors", "ckpt", "folder again", "without tokenizer", "bin"])
def test_a_model_makes_the_same_picture_in_whatever_files_it_comes(stable, plain, tmp_path, form):
    path = stable.file
    match form:
        case "ckpt":
            path = tmp_path / "model.ckpt"
            torch.save({"state_dict": load_file(stable.file), "epoch": 3}, path)
        case "folder again":
            path = tmp_path / "model"
            write_folder(path, Listed(Safetensors(stable.file)))
        case "without tokenizer":
            path = shutil.copytree(stable.folder, tmp_path / "model", ignore=shutil.ignore_patterns("tokenizer"))
        case "bin":
            path = shutil.copytree(stable.folder, tmp_path / "model")
            for weights in path.glob("*/*.safetensors"):
                stem = "pytorch_model" if weights.stem == "model" else weights.stem
                torch.save(load_file(weights), weights.with_name(f"{stem}.bin"))
                weights.unlink()
    assert pixels(path) == plain


def test_a_single_file_is_told_of_as_a_folder_is(stable):
    told = facts(stable.file)
    summary = dict(told.summary)
    assert summary["kind"] == "Stable Diffusion 1"
    assert summary["fingerprint"] == load(stable.file).fingerprint()
    assert {part[:4] for part in told.parts} == {part[:4] for part in facts(stable.folder).parts}


def test_what_a_file_says_of_its_prediction_is_followed(stable, tmp_path):
    for word, prediction in (("v", "v_prediction"), ("epsilon", "epsilon")):
        path = tmp_path / f"{word}.safetensors"
        save_file(load_file(stable.file), path, metadata={"modelspec.predict_key": word})
        assert load(path).diffusion.config["prediction_type"] == prediction


def test_a_large_file_is_hashed_once_as_long_as_it_stays(stable, tmp_path, monkeypatch):
    path, read = shutil.copy(stable.file, tmp_path / "model.safetensors"), []
    real = digests.hashlib.file_digest
    monkeypatch.setattr(digests.hashlib, "file_digest", lambda *a: read.append(a) or real(*a))
    model = load(path)
    first = model.fingerprint()
    assert first == digests.fingerprint(path) == model.fingerprint()
    assert len(read) == 1
    tensors = load_file(path)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, path)
    assert digests.fingerprint(path) != first


def test_an_id_on_the_hub_is_a_model_and_stays_it_in_the_recipe(stable, plain, cache):
    keep(cache, stable.folder, "painter/cats")
    result = made("painter/cats")
    assert result.pictures[0].tobytes() == plain
    assert result.recipes[0]["model"] == "painter/cats"
    assert load("painter/cats").name == dict(facts("painter/cats").summary)["model"] == "painter/cats"
    with pytest.raises(CheckpointError, match=r"no file or folder painter/dogs; as an id on the hub:"):
        find("painter/dogs")


def test_a_folder_of_onnx_graphs_is_named_as_such(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "unet" / "model.onnx").touch()
    with pytest.raises(CheckpointError, match=r"holds ONNX graphs.*name the model that they are of"):
        find(tmp_path)


@pytest.mark.parametrize("side", [0, -5])
def test_a_model_of_no_size_is_refused_when_it_is_loaded(stable, tmp_path, side):
    config = shutil.copytree(stable.folder, tmp_path / "model") / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": side}))
    with pytest.raises(CheckpointError, match="sample_size of the denoiser should be above 0"):
        Pipeline.load(tmp_path / "model", "cpu")


@pytest.mark.parametrize("make", [tiny_models.pixart, tiny_models.flux_schnell])
def test_layers_of_clip_cannot_be_left_out_where_none_is_heard(tmp_path, make):
    make(tmp_path).save_pretrained(tmp_path / "model")
    with pytest.raises(PromptError, match="clip_skip does nothing with the model model; leave it out"):
        Pipeline.load(tmp_path / "model", "cpu").requests("a cat", clip_skip=2)


def test_a_variant_is_taken_where_a_part_has_it(stable, tmp_path, cache):
    folder = shutil.copytree(stable.folder, tmp_path / "model")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor.half() for name, tensor in tensors.items()}, weights.with_suffix(".fp16.safetensors"))
    half, whole = load(folder, variant="fp16").unet, load(folder).unet
    assert torch.equal(half.conv_in.weight, tensors["conv_in.weight"].half().float())
    assert torch.equal(whole.conv_in.weight, tensors["conv_in.weight"])
    with pytest.raises(CheckpointError, match=r"no weights of a variant 'bf16'; name one of: the plain one"):
        load(folder, variant="bf16")
    with pytest.raises(CheckpointError, match="leave --variant out"):
        load(stable.file, variant="fp16")
    keep(cache, stable.folder, "painter/cats")
    with pytest.raises(CheckpointError, match=r"painter/cats.*variant 'fp16'.*could not be reached"):
        load("painter/cats", variant="fp16")


def test_stable_diffusion_xl_hears_silence_as_zeros_and_pads_each_encoder_in_its_way(tmp_path):
    settings = {
        "cross_attention_dim": 2048,
        "attention_head_dim": [1, 1],
        "block_out_channels": (64, 64),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 128 + 6 * 256,
    }
    parts = {
        "unet": unet(**settings),
        "vae": vae(scaling_factor=0.13025),
        "text_encoder": clip(),
        "text_encoder_2": clip(transformers.CLIPTextModelWithProjection, 128, "gelu"),
    }
    scheduler = diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1)
    index = {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True}
    files = saved(tmp_path, parts, scheduler, index)
    for path in (files.file, files.folder):
        model = load(path)
        assert model.zero_is_silence
        assert {name: each.pad_id for name, each in model.tokenizers.items()} == {"tokenizer": 49407, "tokenizer_2": 0}
        assert model.diffusion.spacing == "leading+1"


# --- parts from elsewhere ---------------------------------------------------------------------------------------------


def test_parts_that_a_file_lacks_are_named_and_come_from_a_base(stable, plain, tmp_path):
    whole = load_file(stable.file)
    alone = tmp_path / "alone.safetensors"
    save_file({name: tensor for name, tensor in whole.items() if name.startswith("model.")}, alone)
    with pytest.raises(CheckpointError, match=r"alone.*text_encoder, vae missing.*--base MODEL"):
        load(alone)
    result = made(alone, base=stable.folder)
    assert result.pictures[0].tobytes() == plain
    assert result.recipes[0]["additions"]["base"]["fingerprint"] == digests.fingerprint(stable.folder)
    assert given_again(result.recipes[0])["base"] == str(stable.folder)
    with pytest.raises(CheckpointError, match="its parts do not fit"):
        load(alone, base=published.flux(tmp_path).folder)


def test_flux_needs_the_tokenizer_of_t5_and_finds_it_in_a_base_or_in_the_cache(tmp_path, cache):
    files = published.flux(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"text_encoder_2 is a T5, whose tokenizer.*--base MODEL, or fetch it: hf"
    ):
        load(files.file)
    alone = tmp_path / "alone.safetensors"
    save_file({n: t for n, t in load_file(files.file).items() if not n.startswith(("vae", "text"))}, alone)
    with pytest.raises(CheckpointError, match="text_encoder, text_encoder_2, vae missing"):
        load(alone)
    assert load(alone, base=files.folder).parts.keys() == load(files.folder).parts.keys()
    keep(cache, files.folder, "black-forest-labs/FLUX.1-dev")
    model = load(files.file)
    assert model.t5_tokenizers["tokenizer_2"].numbers("a cat") == load(files.folder).t5_tokenizers[
        "tokenizer_2"
    ].numbers("a cat")
    assert model.vae.config.shift_factor == 0.1159


def test_stable_diffusion_3_goes_without_t5_and_says_so(tmp_path, cache):
    files = published.sd3(tmp_path)
    with pytest.warns(WithoutT5, match=r"text_encoder_3 is a T5.*It goes without\."):
        model = load(files.file)
    assert "text_encoder_3" not in model.parts
    assert model.tokenizers["tokenizer_2"].pad_id == 0
    tiny_models.t5_tokenizer().save_pretrained(tmp_path / "t5")
    keep(cache, tmp_path / "t5", "google/t5-v1_1-xxl")
    assert "text_encoder_3" in load(files.file).parts
