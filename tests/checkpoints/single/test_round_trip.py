"""Single file and parts: what is recognised, that both ways undo each other, and what diffusers makes of the files."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sfumato.checkpoints.folder import NETWORKS
from sfumato.checkpoints.scheduler import from_config
from sfumato.checkpoints.single.family import packed, recognise, rest, unpacked
from sfumato.checkpoints.single.writing import (
    REST,
    family_of,
    write_folder,
    write_single_file,
    write_streamed,
)


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert torch.equal(a[name], b[name]), name


def read(source):
    return {name: source.get(name) for name in source.names()}


def written(model, path, parts=None, rest=None):
    write_single_file(path, parts or model.sources, model.configs, model.scheduler, rest)
    return load_file(path)


def test_a_written_file_is_recognised_with_all_parts_and_their_sizes(model, tensors, tmp_path):
    family = recognise(tensors(written(model, tmp_path / "model.safetensors")))
    assert (family.name, family.pipeline) == (model.family, model.pipeline)
    assert family.configs.keys() == model.configs.keys()
    for part, config in family.configs.items():
        for key in config.keys() - UNSAID:
            assert plain(config, key) == plain(model.configs[part], key), (part, key)


UNSAID = {"sample_size", "upcast_attention", "force_upcast", "bos_token_id", "pad_token_id"}
LEVELS = ("only_cross_attention", "transformer_layers_per_block", "attention_head_dim", "layers_per_block")


def plain(config, key):
    """A value of a configuration, once for each level of a U-Net; without what says nothing."""
    value, kinds = config.get(key), config.get("down_block_types")
    if key == "projection_dim" and config["architectures"] == ["CLIPTextModel"]:
        return None  # there is no projection
    if key in LEVELS and kinds and "unet" in config["_class_name"].lower():
        value = list(value) if isinstance(value, list | tuple) else [value] * len(kinds)
        if key == "only_cross_attention":  # which levels without attention have too
            value = [each and kind.startswith("CrossAttn") for each, kind in zip(value, kinds, strict=True)]
    return list(value) if isinstance(value, tuple) else value


def test_parts_come_out_of_the_file_as_they_went_in(model, tensors, tmp_path):
    source = tensors(written(model, tmp_path / "model.safetensors"))
    parts = unpacked(source, recognise(source))
    for part, view in parts.items():
        same(read(view), model.sources[part].tensors)


def test_shapes_and_types_are_told_without_reading(model, tensors, tmp_path):
    source = tensors(written(model, tmp_path / "model.safetensors"))
    parts = unpacked(source, recognise(source, prediction=None))
    source.read.clear()
    for part, view in parts.items():
        for name, tensor in model.sources[part].tensors.items():
            assert (view.shape(name), view.dtype(name)) == (tuple(tensor.shape), tensor.dtype)
    assert not source.read


def test_every_tensor_of_a_file_is_read_once(model, tensors, tmp_path):
    source = tensors(written(model, tmp_path / "model.safetensors"))
    parts = unpacked(source, recognise(source))
    source.read.clear()
    for view in parts.values():
        read(view)
    assert len(source.read) == len(set(source.read))


@pytest.mark.parametrize("model", ["sd1", "xl", "sd3", "flux dev"], indirect=True)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_goes_both_ways(model, tensors, tmp_path, dtype):
    halves = {
        part: tensors({name: tensor.to(dtype) for name, tensor in source.tensors.items()})
        for part, source in model.sources.items()
    }
    source = tensors(written(model, tmp_path / "model.safetensors", halves))
    for part, view in unpacked(source, recognise(source)).items():
        same(read(view), halves[part].tensors)


def test_single_file_to_folder_to_single_file_gives_the_same_bytes(model, tensors, tmp_path):
    first = tmp_path / "first.safetensors"
    written(model, first)
    with safe_open(first, "pt") as file:
        write_folder(tmp_path / "folder", Opened(file))
    parts, configs = {}, {}
    for part in model.configs:
        (weights,) = (tmp_path / "folder" / part).glob("*.safetensors")
        parts[part] = tensors(load_file(weights))
        configs[part] = json.loads((tmp_path / "folder" / part / "config.json").read_text())
    scheduler = json.loads((tmp_path / "folder" / "scheduler" / "scheduler_config.json").read_text())
    over = tmp_path / "folder" / REST
    beside = tensors(load_file(over)) if over.exists() else None
    write_single_file(tmp_path / "second.safetensors", parts, configs, scheduler, beside)
    assert (tmp_path / "second.safetensors").read_bytes() == first.read_bytes()


class Opened:
    """An open safetensors file as a source."""

    def __init__(self, file):
        self.file = file

    def names(self):
        return self.file.keys()

    def shape(self, name):
        return tuple(self.file.get_slice(name).get_shape())

    def dtype(self, name):
        return self.file.get_tensor(name).dtype

    def get(self, name):
        return self.file.get_tensor(name)


def test_the_folder_of_a_file_opens_part_by_part_in_the_reference_libraries(model, tensors, tmp_path):
    source = tensors(written(model, tmp_path / "model.safetensors"))
    write_folder(tmp_path / "folder", source)
    for part, network in model.networks.items():
        opened, report = type(network).from_pretrained(tmp_path / "folder" / part, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        same(opened.state_dict(), network.state_dict())


@pytest.mark.parametrize("model", ["sd1"], indirect=True)
def test_what_no_part_reads_is_kept_beside_them(model, tensors, tmp_path):
    state = written(model, tmp_path / "model.safetensors")
    state |= {
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(17)[None],
        "alphas_cumprod": torch.linspace(1, 0, 1000),
        "model_ema.diffusion_modelout0weight": torch.ones(3),
        "cond_stage_model.transformer.text_projection.weight": torch.ones(64, 64),
    }
    source = tensors(state)
    family = recognise(source)
    over = rest(source, family)
    assert set(over.names()) == {
        "cond_stage_model.transformer.text_model.embeddings.position_ids",
        "alphas_cumprod",
        "cond_stage_model.transformer.text_projection.weight",
    }
    again = read(packed(unpacked(source, family), family, over))
    state.pop("model_ema.diffusion_modelout0weight")
    same(again, state)


@pytest.mark.parametrize("model", ["sd2"], indirect=True)
def test_a_file_that_came_with_the_published_last_layer_of_openclip_gets_it_back(model, tensors, tmp_path):
    state = written(model, tmp_path / "model.safetensors")
    stem = "cond_stage_model.model."
    for name in [name for name in state if ".resblocks.1." in name]:
        state[name.replace("resblocks.1", "resblocks.2")] = torch.randn_like(state[name])
    state[f"{stem}text_projection"], state[f"{stem}logit_scale"] = torch.randn(64, 64), torch.tensor(4.6)
    source = tensors(state)
    family = recognise(source)
    assert family.configs["text_encoder"]["num_hidden_layers"] == 2
    parts = unpacked(source, family)
    same(read(parts["text_encoder"]), model.sources["text_encoder"].tensors)
    same(read(packed(parts, family, rest(source, family))), state)


def test_the_scheduler_of_every_family_is_one_that_is_read_here(model, tensors, tmp_path):
    family = recognise(tensors(written(model, tmp_path / "model.safetensors")))
    found, expected = from_config(family.scheduler), from_config(model.scheduler)
    assert (found.process, found.parameterisation) == (expected.process, expected.parameterisation)


@pytest.mark.parametrize("model", ["upscaler"], indirect=True)
def test_the_folder_of_an_upscaler_says_how_its_small_picture_is_made_noisy(model, tensors, tmp_path):
    from diffusers import DDPMScheduler

    write_folder(tmp_path, tensors(written(model, tmp_path / "model.safetensors")))
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["low_res_scheduler"] == ["diffusers", "DDPMScheduler"]
    assert DDPMScheduler.from_pretrained(tmp_path / "low_res_scheduler").config.beta_end == 0.02


def test_our_networks_load_what_comes_out(model, tensors, tmp_path):
    source = tensors(written(model, tmp_path / "model.safetensors"))
    family = recognise(source)
    for part, view in unpacked(source, family).items():
        config = family.configs[part]
        kind = NETWORKS[config.get("_class_name") or config["architectures"][0]]
        with torch.device("meta"):
            network = kind.network(kind.config.from_dict(config))
        network.load_state_dict(read(view), strict=True, assign=True)


def test_equal_tensors_give_equal_bytes_in_files_that_safetensors_reads(tensors, tmp_path):
    odd = {
        "half": torch.randn(3, 5).bfloat16(),
        "one number": torch.tensor(7),
        "empty": torch.empty(0, 4),
        "eighth": torch.randn(7).to(torch.float8_e4m3fn),
        "turned": torch.randn(4, 6).T,
    }
    write_streamed(tmp_path / "a", tensors(odd), {"who": "us"})
    write_streamed(tmp_path / "b", tensors(dict(reversed(odd.items()))), {"who": "us"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = load_file(tmp_path / "a")
    assert found.keys() == odd.keys()
    for name in odd:
        assert found[name].dtype == odd[name].dtype
        assert torch.equal(found[name].float(), odd[name].float())
    save_file({name: tensor.contiguous() for name, tensor in odd.items()}, tmp_path / "c")
    with safe_open(tmp_path / "a", "pt") as file:
        assert file.metadata() == {"format": "pt", "who": "us"}


def test_the_family_of_parts_is_that_of_their_file(model):
    family = family_of(model.configs)
    assert (family.name, family.pipeline) == (model.family, model.pipeline)
