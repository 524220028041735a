"""Whatever a model comes as, a folder, a single file or an id on the hub, it goes out as another and is the same."""

import shutil

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file

import published
import tiny_models
from published import PROMPT, keep, pixels
from sfumato.errors import CheckpointError, StorageError
from sfumato.pipelines import export as exporting
from sfumato.pipelines.export import export
from sfumato.pipelines.text_to_image import Pipeline

FORMS = ["folder", "file", "ckpt", "hub"]


def given(form, stable, cache, tmp_path):
    match form:
        case "folder":
            return stable.folder
        case "file":
            return stable.file
        case "ckpt":
            torch.save({"state_dict": load_file(stable.file)}, tmp_path / "model.ckpt")
            return tmp_path / "model.ckpt"
        case "hub":
            snapshot = keep(cache, stable.folder, "painter/cats")
            for file in [file for file in snapshot.rglob("*") if file.is_file()]:  # as in the hub's cache
                blob = snapshot.parent.parent / "blobs" / f"{len(list(snapshot.parent.parent.glob('blobs/*')))}"
                blob.parent.mkdir(exist_ok=True)
                shutil.move(file, blob)
                file.symlink_to(blob)
            return "painter/cats"


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_makes_the_same_picture_and_diffusers_opens_it(form, stable, plain, cache, tmp_path):
    export(given(form, stable, cache, tmp_path), "folder", tmp_path / "out")
    assert pixels(tmp_path / "out") == plain
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    ids = theirs.tokenizer(PROMPT, padding="max_length")["input_ids"]
    ours = Pipeline.load(tmp_path / "out", device="cpu")
    assert ids == ours.model.tokenizer.encode([PROMPT])[0].tolist()
    assert not any(file.is_symlink() for file in (tmp_path / "out").rglob("*"))
    usual = Pipeline.load(stable.folder, device="cpu").requests(PROMPT)[0].guidance_scale
    assert ours.requests(PROMPT)[0].guidance_scale == usual == 7.5


@pytest.mark.parametrize("form", FORMS)
def test_a_single_file_is_the_same_to_the_byte(form, stable, cache, tmp_path):
    model = given(form, stable, cache, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    export(model, "single", tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == stable.file.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "out.safetensors"])


@pytest.mark.parametrize("form", FORMS)
def test_graphs_are_those_of_the_folder(form, stable, cache, tmp_path, monkeypatch):
    written = {}

    def watched(path, graph):
        path.parent.mkdir()
        written[path.parent.name] = {name: tensor.sum() for name, tensor in graph.network.state_dict().items()}

    monkeypatch.setattr(exporting, "write_graph", watched)
    export(given(form, stable, cache, tmp_path), "onnx", tmp_path / "out", checked=False)
    assert written.keys() == {"text_encoder", "unet", "vae_decoder", "vae_encoder"}
    assert written["unet"]["network.conv_in.weight"] == load_unet(stable)["conv_in.weight"].sum()
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"model_index.json", "scheduler", "tokenizer"}
    assert (tmp_path / "out" / "unet" / "config.json").is_file()


def load_unet(stable):
    return load_file(stable.folder / "unet" / "diffusion_pytorch_model.safetensors")


def test_a_file_becomes_a_folder_in_half_precision_and_a_file_again(stable, tmp_path):
    export(stable.file, "folder", tmp_path / "half", dtype="float16")
    held = load_file(tmp_path / "half" / "unet" / "diffusion_pytorch_model.safetensors")
    expected = load_unet(stable)
    assert held.keys() == expected.keys()
    assert all(torch.equal(held[name], expected[name].half()) for name in held)
    export(tmp_path / "half", "single", tmp_path / "half.safetensors")
    export(tmp_path / "half.safetensors", "folder", tmp_path / "again")
    for file in (tmp_path / "half").rglob("*"):
        if file.is_file():
            assert (tmp_path / "again" / file.relative_to(tmp_path / "half")).read_bytes() == file.read_bytes(), file


def test_nothing_is_left_of_what_fails(stable, tmp_path, monkeypatch):
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(stable.file.read_bytes()[:-100])
    for to, out in (("folder", "out"), ("single", "out.safetensors"), ("onnx", "out")):
        with pytest.raises(CheckpointError, match=r"torn\.safetensors"):
            export(torn, to, tmp_path / out)
    with pytest.raises(StorageError, match="model itself"):
        export(stable.file, "single", stable.file, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["torn.safetensors"]


@pytest.mark.parametrize(("family", "t5"), [("flux", "tokenizer_2"), ("sd3", "tokenizer_3")])
def test_t5s_tokenizer_comes_from_the_cache_of_the_hub_or_is_told_of(family, t5, cache, tmp_path):
    files, said = getattr(published, family)(tmp_path), []
    export(files.file, "folder", tmp_path / "out", say=said.append)
    assert said == [f"without {t5}: T5's tokenizer is in no single file, nor on this machine"]
    assert not (tmp_path / "out" / t5).exists()
    export(tmp_path / "out", "single", tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == files.file.read_bytes()

    tiny_models.t5_tokenizer().save_pretrained(tmp_path / "t5")
    keep(cache, tmp_path / "t5", "google/t5-v1_1-xxl")
    export(files.file, "folder", tmp_path / "whole", say=said.append)
    assert len(said) == 1
    theirs = transformers.T5TokenizerFast.from_pretrained(tmp_path / "whole" / t5)
    ours = Pipeline.load(tmp_path / "whole", device="cpu").model.t5_tokenizers[t5]
    expected = tiny_models.t5_tokenizer()(PROMPT)["input_ids"]
    assert theirs(PROMPT)["input_ids"] == [*(number for (number,) in ours.numbers(PROMPT)), ours.end_id] == expected
    assert diffusers.DiffusionPipeline.from_pretrained(tmp_path / "whole").components[t5].eos_token_id == ours.end_id
