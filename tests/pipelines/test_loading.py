"""Models as people have them: folders, single files, hub ids, with other autoencoders, LoRA and new words."""

import json
import shutil
from types import SimpleNamespace

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import tiny_models
from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.lora import write_lora
from sfumato.checkpoints.single.sources import Listed
from sfumato.checkpoints.single.writing import write_folder, write_single_file
from sfumato.checkpoints.tensors import Safetensors
from sfumato.checkpoints.textual_inversion import Embedding, write_embedding
from sfumato.checkpoints.weights import open_weights
from sfumato.data.tokens import CLIP_SIZE, Tokenizer
from sfumato.errors import CheckpointError, PromptError
from sfumato.networks.lora import fresh
from sfumato.pipelines import digests
from sfumato.pipelines.facts import facts
from sfumato.pipelines.finding import find
from sfumato.pipelines.loading import given_again
from sfumato.pipelines.model import load
from sfumato.pipelines.readers import WithoutT5
from sfumato.pipelines.text_to_image import Pipeline

PROMPT, QUICK = "a photo of a cat", {"seed": 3, "num_inference_steps": 2, "width": 32, "height": 32}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub"


def clip(kind=transformers.CLIPTextModel, width=64, act="quick_gelu"):
    """A text encoder of the published ones' vocabulary and width of heads."""
    torch.manual_seed(width)
    return kind(
        transformers.CLIPTextConfig(
            vocab_size=CLIP_SIZE,
            hidden_size=width,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=width // 64,
            projection_dim=width,
            hidden_act=act,
            bos_token_id=49406,
            eos_token_id=49407,
        )
    ).eval()


def unet(**more):
    settings = {
        "block_out_channels": (32, 64),
        "norm_num_groups": 32,
        "attention_head_dim": 8,
        "cross_attention_dim": 64,
    }
    return tiny_models.unet(**settings | more)


def vae(latents=4, **more):
    return tiny_models.vae(latents, block_out_channels=(32, 64), norm_num_groups=32, **more)


BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def saved(folder, parts, scheduler, index):
    """A model folder and a single file of the same parts; tokenizers are in neither."""
    for name, network in parts.items():
        network.save_pretrained(folder / "model" / name)
    scheduler.save_pretrained(folder / "model" / "scheduler")
    (folder / "model" / "model_index.json").write_text(json.dumps(index))
    configs = {name: read_json(folder / "model" / name / "config.json") for name in parts}
    sources = {name: Listed(open_weights(folder / "model" / name)) for name in parts}
    told = read_json(folder / "model" / "scheduler" / "scheduler_config.json")
    write_single_file(folder / "model.safetensors", sources, configs, told)
    return SimpleNamespace(folder=folder / "model", file=folder / "model.safetensors")


@pytest.fixture(scope="module")
def stable(tmp_path_factory):
    """Stable Diffusion 1, small, but of the layout of the published."""
    folder = tmp_path_factory.mktemp("stable")
    parts = {"unet": unet(), "vae": vae(scaling_factor=0.18215), "text_encoder": clip()}
    made = saved(folder, parts, diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1), {
        "_class_name": "StableDiffusionPipeline"
    })  # fmt: skip
    Tokenizer.clip().save(made.folder / "tokenizer")
    return made


def made(model, prompt=PROMPT, spacing="beta", **beside):
    return Pipeline.load(model, "cpu", **beside)(prompt, spacing=spacing, **QUICK)


def pixels(*arguments, **beside):
    return made(*arguments, **beside).pictures[0].tobytes()


@pytest.fixture(scope="module")
def plain(stable):
    return pixels(stable.folder)


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


def keep(cache, folder, name):
    """A folder in the cache of the hub."""
    root = cache / f"models--{name.replace('/', '--')}"
    snapshot = shutil.copytree(folder, root / "snapshots" / ("0" * 40))
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_an_id_on_the_hub_is_a_model_and_stays_it_in_the_recipe(stable, plain, cache):
    keep(cache, stable.folder, "painter/cats")
    result = made("painter/cats")
    assert result.pictures[0].tobytes() == plain
    assert result.recipes[0]["model"] == "painter/cats"
    assert load("painter/cats").name == dict(facts("painter/cats").summary)["model"] == "painter/cats"
    with pytest.raises(CheckpointError, match=r"no file or folder painter/dogs; as an id on the hub:"):
        find("painter/dogs")


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
        load(alone, base=_flux(tmp_path).folder)


def _flux(folder):
    """FLUX with all its parts, as a folder, and its transformer alone as a file."""
    tokenizer = tiny_models.t5_tokenizer()
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        guidance_embeds=True,
        axes_dims_rope=(4, 14, 14),
    )
    autoencoder = vae(16, use_quant_conv=False, use_post_quant_conv=False, scaling_factor=0.3611, shift_factor=0.1159)
    parts = {
        "transformer": transformer,
        "vae": autoencoder,
        "text_encoder": clip(),
        "text_encoder_2": tiny_models.t5(tokenizer),
    }
    flow = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_shift=1.15, base_shift=0.5)
    files = saved(folder / "flux", parts, flow, {"_class_name": "FluxPipeline"})
    tokenizer.save_pretrained(files.folder / "tokenizer_2")
    return files


def test_flux_needs_the_tokenizer_of_t5_and_finds_it_in_a_base_or_in_the_cache(tmp_path, cache):
    files = _flux(tmp_path)
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
    tokenizer = tiny_models.t5_tokenizer()
    projecting = transformers.CLIPTextModelWithProjection
    transformer = diffusers.SD3Transformer2DModel(
        in_channels=16,
        num_layers=2,
        attention_head_dim=64,
        num_attention_heads=1,
        joint_attention_dim=32,
        caption_projection_dim=64,
        pooled_projection_dim=192,
        out_channels=16,
        pos_embed_max_size=8,
    )
    parts = {
        "transformer": transformer,
        "vae": vae(16, use_quant_conv=False, use_post_quant_conv=False, scaling_factor=1.5305, shift_factor=0.0609),
        "text_encoder": clip(projecting),
        "text_encoder_2": clip(projecting, 128, "gelu"),
        "text_encoder_3": tiny_models.t5(tokenizer),
    }
    flow = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    files = saved(tmp_path, parts, flow, {"_class_name": "StableDiffusion3Pipeline"})
    with pytest.warns(WithoutT5, match=r"text_encoder_3 is a T5.*It goes without\."):
        model = load(files.file)
    assert "text_encoder_3" not in model.parts
    assert model.tokenizers["tokenizer_2"].pad_id == 0
    tokenizer.save_pretrained(tmp_path / "t5")
    keep(cache, tmp_path / "t5", "google/t5-v1_1-xxl")
    assert "text_encoder_3" in load(files.file).parts


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


# --- wrong things -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda stable, path: write_lora(path, {"unet": fresh(load(stable.file).unet, 2)}, "kohya"), "a LoRA.*--lora"),
        (lambda stable, path: save_file({"control_model.zero_convs.0.weight": torch.ones(1)}, path), "a ControlNet"),
        (lambda stable, path: path.write_bytes(stable.file.read_bytes()[:-9]), "not a whole safetensors file"),
        (lambda stable, path: shutil.copy(stable.folder / "unet" / "diffusion_pytorch_model.safetensors", path),
         "part of a diffusers folder"),
        (lambda stable, path: shutil.copy(stable.folder / "vae" / "diffusion_pytorch_model.safetensors", path),
         "--vae"),
        (lambda stable, path: save_file({}, path), "known are Stable Diffusion 1"),
    ],
    ids=["lora", "controlnet", "truncated", "a part", "an autoencoder", "empty"],
)  # fmt: skip
def test_a_file_that_is_no_model_says_what_it_seems_to_be(stable, tmp_path, make, said):
    path = tmp_path / "given.safetensors"
    make(stable, path)
    with pytest.raises(CheckpointError, match=rf"given\.safetensors.*{said}"):
        load(path)


def test_a_file_of_another_vocabulary_asks_for_its_tokenizer(stable, tmp_path):
    tensors = load_file(stable.file)
    name = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    tensors[name] = tensors[name][:600].clone()
    save_file(tensors, tmp_path / "small.safetensors")
    with pytest.raises(CheckpointError, match=r"no tokenizer, and its text_encoder knows 600 tokens.*--base MODEL"):
        load(tmp_path / "small.safetensors")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda stable, path: shutil.copytree(stable.folder / "unet", path), r"one part, 'UNet2D.*folder of the whole"),
        (lambda stable, path: shutil.copytree(stable.folder / "vae", path), "an autoencoder; give it as --vae"),
        (lambda stable, path: shutil.copytree(stable.file.parent, path, ignore=shutil.ignore_patterns("model")),
         r"name that: .*given/model\.safetensors"),
        (lambda stable, path: (path / "run").mkdir(parents=True), "Its training is not finished"),
        (lambda stable, path: _written(path / "adapter_config.json"), "it is a LoRA; give it as --lora"),
        (lambda stable, path: _written(path / "config.json", {"_class_name": "ControlNetModel"}), "is a ControlNet"),
        (lambda stable, path: path.mkdir(), r"no model_index\.json\.$"),
    ],
    ids=["unet", "vae", "single file", "unfinished", "lora", "controlnet", "empty"],
)  # fmt: skip
def test_a_folder_that_is_no_model_says_what_it_seems_to_be(stable, tmp_path, make, said):
    make(stable, tmp_path / "given")
    with pytest.raises(CheckpointError, match=rf"given is no model folder: .*{said}"):
        load(tmp_path / "given")


def _written(path, content=()):
    path.parent.mkdir()
    path.write_text(json.dumps(dict(content)))


def test_a_folder_of_pickles_that_hold_more_than_tensors_is_refused(stable, tmp_path):
    folder = shutil.copytree(stable.folder, tmp_path / "model")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({"weight": torch.ones(1), "what": Opener()}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"unet.*\.bin holds more than"):
        load(folder)
    assert not (tmp_path / "opened").exists()


class Opener:
    def __reduce__(self):
        return (open, ("opened", "w"))


def test_a_file_of_another_kind_is_not_taken_for_weights(tmp_path):
    for name, said in (("model.gguf", r"known: \.safetensors, \.ckpt"), ("model_index.json", "name its folder")):
        (tmp_path / name).write_text("{}")
        with pytest.raises(CheckpointError, match=rf"{name} is no file of a model: {said}"):
            find(tmp_path / name)


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b", "a" * 300 + "/b", "../nowhere", "a/b/c"])
def test_a_name_of_nothing_is_told_what_there_is(name):
    with pytest.raises(CheckpointError, match=r"There is no (model|file or folder)|is no model folder"):
        load(name)


def test_tuned_steps_of_a_single_file_lie_next_to_it(stable, tmp_path):
    path = shutil.copy(stable.file, tmp_path / "cats.safetensors")
    assert load(path).beside("tuned_steps.json") == tmp_path / "cats.tuned_steps.json"
    assert load(stable.folder).beside("tuned_steps.json") == stable.folder / "tuned_steps.json"
    with pytest.raises(CheckpointError, match=r"cats\.tuned_steps\.json has no steps tuned.*tune-steps .*cats\.safet"):
        made(path, spacing="tuned")
