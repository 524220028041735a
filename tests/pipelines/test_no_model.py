"""What is no model says what it seems to be, and what to do."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from published import made
from sfumato.checkpoints.lora import write_lora
from sfumato.errors import CheckpointError
from sfumato.networks.lora import fresh
from sfumato.pipelines.finding import find
from sfumato.pipelines.model import load

pytestmark = pytest.mark.usefixtures("cache")


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
