"""Models for other programs: what is written opens there, is equal, and is whole or not there."""

import json

import numpy as np
import pytest
import torch

import sfumato
import tiny_models
from sfumato.checkpoints import export as writing
from sfumato.checkpoints import graphs as checking
from sfumato.checkpoints.tensors import read_tensors
from sfumato.checkpoints.weights import open_weights
from sfumato.errors import CheckpointError, StorageError
from sfumato.networks.flux import FluxConfig, FluxTransformer
from sfumato.networks.sd3 import SD3Config, SD3Transformer
from sfumato.pipelines import graphs as making
from sfumato.pipelines.export import export
from sfumato.pipelines.model import EMBEDDED, load

DIGITS = EMBEDDED / "digits"


def tensors(folder):
    source = open_weights(folder)
    return {name: source.get(name) for name in source.entries}


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("family", ["stable", "xl"])
def test_a_folder_is_equal_to_the_byte_and_diffusers_opens_it(family, tmp_path):
    import diffusers

    pipeline = getattr(tiny_models, family)(tmp_path)
    pipeline.save_pretrained(tmp_path / "model")
    export(tmp_path / "model", "folder", tmp_path / "out")
    opened = type(pipeline).from_pretrained(tmp_path / "out")
    assert isinstance(opened, diffusers.DiffusionPipeline)
    for part in ("unet", "vae", "text_encoder"):
        same(getattr(opened, part).state_dict(), getattr(pipeline, part).state_dict())
        same(tensors(tmp_path / "out" / part), tensors(tmp_path / "model" / part))
    assert sfumato.load(tmp_path / "out").model.family == load(tmp_path / "model").family


def test_the_embedded_model_goes_along_with_its_lineage_and_licence_in_half_precision(tmp_path):
    export("digits", "folder", tmp_path / "out", dtype="float16")
    for part in ("unet", "upsampler", "image_encoder"):
        same(tensors(tmp_path / "out" / part), {k: v.half() for k, v in tensors(DIGITS / part).items()})
    told = json.loads((tmp_path / "out" / "sfumato.json").read_text())
    assert told == json.loads((DIGITS / "sfumato.json").read_text())
    assert told["licence"]


def test_what_half_precision_cannot_hold_is_refused_and_nothing_is_left(tmp_path):
    pipeline = tiny_models.stable(tmp_path)
    with torch.no_grad():
        pipeline.unet.conv_out.weight[0, 0, 0, 0] = 1e6
    pipeline.save_pretrained(tmp_path / "model")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=r"conv_out.weight has numbers"):
        export(tmp_path / "model", "folder", tmp_path / "out", dtype="float16")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_weights_beyond_one_file_stand_in_shards_that_are_read_again(tmp_path):
    writing.export_folder(DIGITS, tmp_path / "out", shard=200_000)
    assert len(list((tmp_path / "out" / "unet").glob("*-of-*.safetensors"))) > 1
    same(tensors(tmp_path / "out" / "unet"), tensors(DIGITS / "unet"))


def test_an_index_of_a_variant_that_is_left_out_is_left_out_too(tmp_path):
    pipeline = tiny_models.stable(tmp_path)
    pipeline.save_pretrained(tmp_path / "model")
    pipeline.unet.save_pretrained(tmp_path / "model" / "unet", variant="fp16", max_shard_size="100KB")
    assert list((tmp_path / "model" / "unet").glob("*.index.fp16.json"))
    writing.export_folder(tmp_path / "model", tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out" / "unet").iterdir())
    assert names == ["config.json", "diffusion_pytorch_model.safetensors"]


def test_a_part_that_the_index_names_and_nobody_knows_is_left_out(tmp_path):
    tiny_models.stable(tmp_path).save_pretrained(tmp_path / "model")
    index = json.loads((tmp_path / "model" / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (tmp_path / "model" / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "model" / "unet" / "evil.py").write_text("raise SystemExit")
    export(tmp_path / "model", "folder", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "model_index.json").read_text())["safety_checker"] == [None, None]
    assert not list((tmp_path / "out").rglob("*.py"))


def test_models_without_a_single_file_are_refused_by_the_reason(tmp_path):
    with pytest.raises(CheckpointError, match=r"would not know this one.*block_out_channels"):
        export("digits", "single", tmp_path / "out.safetensors")
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unless_it_is_wished_and_is_a_model(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letters.txt").write_text("mine")
    with pytest.raises(StorageError, match="--overwrite"):
        export("digits", "folder", tmp_path / "out")
    with pytest.raises(StorageError, match="no model"):
        export("digits", "folder", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "letters.txt").read_text() == "mine"
    for place in (DIGITS, DIGITS / "unet", DIGITS.parent):
        with pytest.raises(StorageError, match="model itself"):
            export("digits", "folder", place, overwrite=True)
    export("digits", "folder", tmp_path / "model")
    export("digits", "folder", tmp_path / "model", overwrite=True, dtype="bfloat16")
    assert tensors(tmp_path / "model" / "vae")["encoder.conv_in.weight"].dtype == torch.bfloat16


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interruption_or_a_full_disk_leaves_the_old_one_whole(tmp_path, monkeypatch, error):
    export("digits", "folder", tmp_path / "out")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fails(*_):
        raise error

    monkeypatch.setattr(writing, "copy_beside", fails)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else StorageError):
        export("digits", "folder", tmp_path / "out", overwrite=True, dtype="float16")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.slow
def test_graphs_have_the_names_of_other_runtimes_and_every_one_was_checked(tmp_path):
    out, said = tmp_path / "out", []
    export("digits", "onnx", out, say=said.append)
    names = {
        "text_encoder": (["input_ids"], ["last_hidden_state", "pooler_output", "text_embeds"]),
        "unet": (["sample", "timestep", "encoder_hidden_states"], ["out_sample"]),
        "vae_decoder": (["latent_sample"], ["sample"]),
        "vae_encoder": (["sample"], ["latent_parameters"]),
        "upsampler": (["sample", "timestep", "class_labels"], ["out_sample"]),
    }
    told = json.loads((out / "sfumato_onnx.json").read_text())
    assert told["graphs"].keys() == names.keys()
    for name, (inputs, outputs) in names.items():
        run = session(out / name / "model.onnx")
        assert [each.name for each in run.get_inputs()] == inputs
        assert [each.name for each in run.get_outputs()] == outputs
        assert told["graphs"][name]["relative_difference"] < 1e-4
    assert len(said) == len(names)


def test_sampling_with_the_graph_gives_the_pipelines_latents(tmp_path, monkeypatch):
    pipeline, asked = sfumato.load("digits"), []
    checking.write_graph(tmp_path / "model.onnx", dict(making.graphs(pipeline.model))["unet"])
    run = session(tmp_path / "model.onnx")
    expected = latents(pipeline)

    def forward(sample, timestep, states, **_):
        asked.append(len(sample))
        inputs = {"sample": sample, "timestep": timestep[:1], "encoder_hidden_states": states}
        made = run.run(None, {name: np.asarray(value, dtype=np.float32) for name, value in inputs.items()})[0]
        return torch.from_numpy(made)

    monkeypatch.setattr(pipeline.model.unet, "forward", forward)
    made = latents(pipeline)
    assert asked
    assert (made - expected).abs().max() < 1e-3 * expected.abs().max()


def latents(pipeline):
    from sfumato.pipelines.request import Request
    from sfumato.pipelines.ways.latents import Latents
    from sfumato.pipelines.ways.way import Batch

    way = Latents(pipeline.model)
    batch = Batch(["a handwritten seven"], [3], 32, 32, Request("a handwritten seven", num_inference_steps=4), 1)
    *_, state = way.denoise(way.encode(batch.prompts, batch), batch)
    return state.noisy


def test_a_graph_that_computes_something_else_is_refused_and_removed(tmp_path, monkeypatch):
    def first(model):
        name, graph = next(iter(making.graphs(model)))
        return iter([(name, graph)])

    def spoilt(path, graph):
        checking.write_graph(path, graph)
        with torch.no_grad():
            next(graph.network.parameters()).mul_(1.1)

    monkeypatch.setattr("sfumato.pipelines.export.graphs", first)
    monkeypatch.setattr("sfumato.pipelines.export.write_graph", spoilt)
    with pytest.raises(CheckpointError, match="something else than the model"):
        export("digits", "onnx", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("family", "numbers"), [("xl", 6), ("refiner", 5)])
def test_the_graph_of_a_larger_model_takes_size_and_pooled_text(family, numbers, tmp_path):
    getattr(tiny_models, family)(tmp_path).save_pretrained(tmp_path / "model")
    graph = dict(making.graphs(load(tmp_path / "model")))["unet"]
    assert graph.inputs["time_ids"].shape[1] == numbers
    checking.write_graph(tmp_path / "unet.onnx", graph)
    assert checking.difference(tmp_path / "unet.onnx", graph) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("family", "t5"), [("sd3", "text_encoder_3"), ("flux", "text_encoder_2")])
def test_the_graph_of_t5_takes_any_batch_and_length(family, t5, tmp_path):
    getattr(tiny_models, family)(tmp_path).save_pretrained(tmp_path / "model")
    every = dict(making.graphs(load(tmp_path / "model")))
    assert every.keys() == {"text_encoder", "text_encoder_2", t5, "transformer", "vae_decoder", "vae_encoder"}
    checking.write_graph(tmp_path / "t5.onnx", every[t5])
    assert checking.difference(tmp_path / "t5.onnx", every[t5]) < 1e-4


@pytest.mark.parametrize(("family", "what"), [("pixart", "text_encoder of model, a T5"), ("doubler", "a KUNet")])
def test_a_model_without_graphs_is_refused_before_its_weights_are_read(family, what, tmp_path):
    getattr(tiny_models, family)(tmp_path).save_pretrained(tmp_path / "model")
    for weights in (tmp_path / "model").rglob("*.safetensors"):
        header = 8 + int.from_bytes(weights.read_bytes()[:8], "little")
        weights.write_bytes(weights.read_bytes()[:header] + b"\xff" * (weights.stat().st_size - header))  # not a number
    with pytest.raises(CheckpointError, match=f"{what}, has no ONNX graph yet"):
        export(tmp_path / "model", "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        SD3Transformer(SD3Config(num_attention_heads=2, attention_head_dim=8, num_layers=2, caption_projection_dim=16)),
        FluxTransformer(
            FluxConfig(16, None, 1, 1, 12, num_attention_heads=2, guidance_embeds=True, axes_dims_rope=(4, 4, 4))
        ),
    ],
    ids=["sd3", "flux"],
)
def test_the_graphs_of_transformers_take_any_batch_and_size(network, tmp_path):
    graph = making._transformer(network)
    checking.write_graph(tmp_path / "transformer.onnx", graph)
    assert checking.difference(tmp_path / "transformer.onnx", graph) < 1e-4


def test_a_single_file_holds_the_folders_tensors_in_half_precision(tmp_path):
    like_1 = {"block_out_channels": (32, 64), "norm_num_groups": 32, "attention_head_dim": 8}
    vae = tiny_models.vae(norm_num_groups=32, block_out_channels=(32, 64))
    tokenizer = tiny_models.clip_tokenizer(tmp_path)
    text = tiny_models.clip(tokenizer, width=256, layers=2)  # four heads, of 64 channels each
    pipeline = tiny_models.stable(tmp_path, vae=vae, unet=tiny_models.unet(**like_1), text_encoder=text)
    pipeline.save_pretrained(tmp_path / "model")
    export(tmp_path / "model", "single", tmp_path / "out.safetensors", dtype="float16")
    held = read_tensors(tmp_path / "out.safetensors")
    assert {tensor.dtype for tensor in held.values()} == {torch.float16}
    made = held["model.diffusion_model.input_blocks.0.0.weight"]
    assert torch.equal(made, pipeline.unet.conv_in.weight.half())
