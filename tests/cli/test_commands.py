"""The command line as a person meets it."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import typer
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sfumato.cli.main import app

QUICK = ["--steps", "2", "--seed", "3", "--model", "digits"]


def process(*arguments, cwd=None):
    """A command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "sfumato", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=300
    )


def test_generate_makes_pictures_a_sheet_and_previews_that_replay_again(sfumato, tmp_path):
    done = process("generate", "a handwritten seven", "-n", 2, *QUICK, "--grid", "--previews", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    assert files == [
        "pictures/a-handwritten-seven-3.png",
        "pictures/a-handwritten-seven-4.png",
        "pictures/a-handwritten-seven-grid-3.png",
    ]
    assert "2 picture(s)" in done.stderr
    assert (tmp_path / "pictures" / "a-handwritten-seven-3-denoise-001.png").exists()

    again = process("replay", files[1], "--out", "again.png", cwd=tmp_path)
    assert again.stdout.split("\n")[:2] == ["again.png", "the same pixels"]
    first, second = (np.asarray(Image.open(tmp_path / name)) for name in (files[1], "again.png"))
    assert np.array_equal(first, second)
    assert sfumato("replay", files[2]).returncode == 2


def test_nothing_a_person_made_is_overwritten(sfumato, tmp_path):
    names = [sfumato("generate", "7", *QUICK, "--out", tmp_path).stdout.split()[0] for _ in range(2)]
    assert [name.rsplit("/")[-1] for name in names] == ["7-3.png", "7-3-2.png"]


def test_a_mixed_and_guided_picture_replays_again(sfumato):
    mixed = ["--mix", "a handwritten seven=0.5", "--mix-how", "branches", "--interval", "0.3:5", "--rescale", "0.5"]
    done = sfumato("generate", "a handwritten one", *QUICK, "--guide", "apg", "--negative", "8", *mixed)
    assert done.returncode == 0, done.stderr
    assert "the same pixels" in sfumato("replay", done.stdout.strip()).stdout


def test_a_recipe_with_a_strange_model_fetches_nothing(sfumato, tmp_path):
    image, chunks = Image.new("RGB", (8, 8)), PngInfo()
    chunks.add_itxt("sfumato", json.dumps({"model": "painter/cats", "request": {"prompt": "a cat"}}))
    image.save(tmp_path / "strange.png", pnginfo=chunks)
    refused = sfumato("replay", "strange.png")
    assert refused.returncode == 1
    assert "painter/cats is not in" in refused.stderr
    assert "not fetched for a recipe" in refused.stderr


def test_a_picture_of_another_precision_replays_in_that(sfumato):
    done = sfumato("generate", "the digit 3", *QUICK, "--dtype", "bfloat16", "-q")
    again = sfumato("replay", done.stdout.strip())
    assert "the same pixels" in again.stdout, again.stdout + again.stderr
    other = sfumato("replay", done.stdout.strip(), "--dtype", "float32")
    assert other.returncode == 1
    assert "other pixels" in other.stdout


def test_steps_are_tuned_written_and_used_and_the_picture_replays_without_them(sfumato, tmp_path):
    (tmp_path / "prompts.txt").write_text("a handwritten seven\n\nthe digit 3\n")
    tune = ["tune-steps", "digits", "--steps", 2, "--prompts", "prompts.txt", "-n", 2, "--budget", 250]
    done = sfumato(*tune, "--out", "steps.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "steps.json"
    assert "of the named spacings" in done.stderr
    made = sfumato("generate", "7", *QUICK, "--spacing", "steps.json")
    assert made.returncode == 0, made.stderr
    (tmp_path / "steps.json").unlink()
    assert "the same pixels" in sfumato("replay", made.stdout.strip()).stdout


def test_a_file_that_cannot_take_the_steps_is_refused_before_they_are_sought(sfumato, tmp_path):
    (tmp_path / "broken.json").write_text("{")
    for name, said in (("broken.json", "not readable JSON"), ("broken.json/steps.json", "Could not write")):
        done = sfumato("tune-steps", "digits", "--out", name)
        assert said in done.stderr
        assert "named spacings" not in done.stderr


def test_a_model_is_exported_once_and_not_over_itself(sfumato):
    export = ["export", "digits", "--to", "folder", "--out", "out"]
    assert sfumato(*export).stdout.strip() == "out"
    again = sfumato(*export)
    assert (again.returncode, "--overwrite" in again.stderr) == (74, True)
    assert sfumato("generate", "7", *QUICK, "--model", "out").returncode == 0


def test_words_the_model_never_saw_are_named(sfumato, tmp_path):
    done = sfumato("generate", "a purple seven", *QUICK, "--out", tmp_path)
    assert done.returncode == 0
    assert 'never saw these words in training: "purple"' in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["generate", "7", "--steps", "0"], 2, "num_inference_steps is a whole number from 1"),
        (["generate", "7", "--spacing", "magic"], 2, "there are trailing, "),
        (["generate", "7", "--spacing", "tuned", "--steps", "777"], 1, "no steps tuned for unipc-2-777"),
        (["tune-steps", "digits", "--out", "steps.txt"], 2, "ends in .json"),
        (["tune-steps", "digits", "--prompts", "nowhere.txt"], 2, "nowhere.txt"),
        (["restore", __file__, "--model", "digits", "--prompt", "\udcff"], 2, "bytes that are no text"),
        (["tune-steps", "digits", "--solver", "magic"], 2, "magic"),
        (["generate", "7", "--size", "big"], 2, "--size takes WIDTHxHEIGHT"),
        (["generate", "7", "--size", "70"], 2, "not a multiple of 16"),
        (["generate", "7", "--model", "no/such"], 1, "There is no file or folder no/such; as an id on the hub"),
        (["generate", "7", "--model", "../up"], 1, "Name a model folder, a single file, an id on the hub"),
        (["generate", "7", "--model", __file__], 1, "is no file of a model: known: .safetensors"),
        (["generate", "7", "--variant", "fp16"], 1, "no weights of a variant 'fp16'"),
        (["generate", "7", "--lora", "nowhere.safetensors:0.5"], 1, "There is no LoRA file nowhere.safetensors"),
        (["generate", "7", "--lora", "a.safetensors:inf"], 2, "the weight should be a number"),
        (["generate", "7", "--embedding", "nowhere.pt"], 1, "There is no embedding nowhere.pt"),
        (["generate", "7", "--vae", "nowhere"], 1, "nowhere"),
        (["generate", "7", "--vae", "."], 1, "holds no autoencoder"),
        (["generate", "7", "--base", "nowhere"], 1, "nowhere"),
        (["generate", "7", "--device", "abacus"], 2, "abacus"),
        (["generate", "7", "--mix", "one"], 2, "--mix takes a prompt and its weight"),
        (["generate", "7", "--interval", "5"], 2, "--interval takes LOW:HIGH"),
        (["generate", "7", "--guide", "magic"], 2, "There is no guidance 'magic'"),
        (["generate"], 2, "Missing argument"),
        (["replay", "nothing.png"], 2, "There is no picture"),
        (["info", "."], 1, "no model_index.json"),
        (["info", "--memory", "--device", "abacus"], 2, "There is no device 'abacus'"),
        (["train", "nowhere", "--out", "model"], 1, "nowhere"),
        (["train", "digits", "--out", "model", "--budget", "soon"], 2, "A budget is a time"),
        (["train", "digits", "--out", "model", "--stage", "magic"], 2, "autoencoder"),
        (["train", "digits", "--out", "model", "--set", "clip.steps=-1"], 2, "clip.steps"),
    ],
)
def test_a_mistake_is_one_clear_paragraph(sfumato, tmp_path, arguments, code, said):
    done = sfumato(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "This is a defect" not in done.stderr
    assert not list(tmp_path.glob("model/*/model*"))


def test_a_picture_with_a_lora_and_a_word_replays_until_a_file_changes(sfumato, tmp_path):
    import torch

    from sfumato.checkpoints.lora import write_lora
    from sfumato.checkpoints.textual_inversion import Embedding, write_embedding
    from sfumato.networks.lora import fresh
    from sfumato.pipelines.model import load

    model = load("digits")
    torch.manual_seed(0)
    adapter = fresh(model.unet, 2).requires_grad_(False)
    for parameter in adapter.parameters():
        parameter.normal_(std=0.1)
    write_lora(tmp_path / "style.safetensors", {"unet": adapter})
    width = model.text_encoder.config.hidden_size
    write_embedding(tmp_path / "toy.safetensors", Embedding("<toy>", {"text_encoder": torch.randn(1, width)}))
    beside = ["--lora", "style.safetensors:0.5", "--embedding", "toy.safetensors"]
    done = sfumato("generate", "a <toy>", *QUICK, *beside)
    assert done.returncode == 0, done.stderr
    again = sfumato("replay", done.stdout.strip())
    assert "the same pixels" in again.stdout, again.stderr
    (tmp_path / "style.safetensors").unlink()
    lost = sfumato("replay", done.stdout.strip())
    assert lost.returncode == 1
    assert "made with --lora style.safetensors" in lost.stderr


def test_a_lora_and_a_broken_file_are_no_model(sfumato, tmp_path):
    from safetensors.torch import save_file
    from torch import ones

    save_file({"lora_unet_conv_in.lora_up.weight": ones(1, 1)}, tmp_path / "lora.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "lora.safetensors").read_bytes()[:-1])
    for name, said in (("lora", "seems to be a LoRA; give it as --lora"), ("cut", "not a whole safetensors file")):
        for command in (["generate", "7", "--model"], ["info"]):
            done = sfumato(*command, tmp_path / f"{name}.safetensors")
            assert done.returncode == 1
            assert said in done.stderr
            assert "This is a defect" not in done.stderr


def test_debug_shows_the_traceback(tmp_path):
    done = process("--debug", "info", tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_info_tells_parts_sizes_lineage_and_licence(sfumato):
    said = sfumato("info").stdout
    for word in (
        "Noto Color Emoji",
        "Apache-2.0",
        "unet",
        "UNet2DConditionModel",
        "vae",
        "upsampler",
        "text_encoder",
        "steps",
        "fingerprint",
    ):
        assert word in said
    assert re.search(r"denoiser\s+[\d,]+ steps", said)


def test_version():
    from sfumato import __version__

    assert process("--version").stdout == f"sfumato {__version__}\n"


def test_an_option_has_the_same_short_form_in_every_command():
    forms = {}
    for command in typer.main.get_command(app).commands.values():
        for option in command.params:
            if option.param_type_name == "option":
                forms.setdefault(option.name, set()).add(tuple(form for form in option.opts if len(form) == 2))
    assert all(len(short) == 1 for short in forms.values()), forms
    assert forms["model"] == {("-m",)}
