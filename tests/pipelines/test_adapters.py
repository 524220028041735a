"""A whole model with adapters: pictures change, and are the same bytes again without them."""

import pytest
import torch

from sfumato.checkpoints.lora import write_lora
from sfumato.checkpoints.textual_inversion import Embedding
from sfumato.errors import CheckpointError, PromptError
from sfumato.networks.lora import fresh
from sfumato.pipelines.adapters import weighted, with_loras, with_words
from sfumato.pipelines.model import load
from sfumato.pipelines.text_to_image import Pipeline

PROMPT = "a handwritten seven"


def picture(model, prompt=PROMPT):
    return Pipeline(model)(prompt, seed=3, num_inference_steps=3).pictures[0].tobytes()


@pytest.fixture
def model():
    return load("digits")


@pytest.fixture
def files(model, tmp_path):
    paths = []
    for seed, layout in enumerate(("peft", "kohya")):
        torch.manual_seed(seed)
        adapters = {name: fresh(model.part(name), 2).requires_grad_(False) for name in ("unet", "text_encoder")}
        for adapter in adapters.values():
            for parameter in adapter.parameters():
                parameter.normal_(std=0.1)
        paths.append(tmp_path / f"{layout}.safetensors")
        write_lora(paths[-1], adapters, layout)
    return paths


def test_loras_change_pictures_and_leave_no_trace(model, files):
    plain = picture(model)
    made = []
    for live in (False, True):
        with with_loras(model, [(files[0], 0.5), (files[1], -0.25)], live=live):
            made.append(torch.frombuffer(bytearray(picture(model)), dtype=torch.uint8).int())
        assert picture(model) == plain
    assert (made[0] - made[1]).abs().max() <= 1  # sums in another order
    assert (made[0] - torch.frombuffer(bytearray(plain), dtype=torch.uint8)).abs().float().mean() > 1


def test_a_lora_of_another_model_changes_nothing(model, files):
    plain = picture(model)
    write_lora(files[0], {"unet": fresh(torch.nn.ModuleDict({"conv_in": torch.nn.Linear(3, 3)}), 2, None, ["conv_in"])})
    with pytest.raises(CheckpointError, match=r"peft\.safetensors.*unet\.conv_in"):
        with_loras(model, [(files[1], 1.0), (files[0], 1.0)])
    assert picture(model) == plain


@torch.no_grad()
def test_a_word_stands_for_what_its_vectors_say(model):
    plain = picture(model)
    table = model.text_encoder.text_model.embeddings.token_embedding.weight
    vectors = table[model.tokenizer.encode([PROMPT])[0, 1:4]].clone()
    taught = with_words(model, [Embedding("<seven>", {"text_encoder": vectors})])
    assert picture(taught, "<seven>") == plain == picture(taught)
    with pytest.raises(CheckpointError, match="another kind of model"):
        with_words(model, [Embedding("<eight>", {"text_encoder": vectors[:, 1:]})])


@pytest.mark.parametrize(
    ("text", "file", "weight"),
    [("a.safetensors", "a.safetensors", 1), ("a:b", "a:b", 1), ("/x/a:0.5", "/x/a", 0.5), ("a:-1", "a", -1)],
)
def test_a_weight_stands_behind_the_file(text, file, weight):
    path, number = weighted(text)
    assert (str(path), number) == (file, weight)


def test_a_weight_that_is_no_number_is_refused():
    with pytest.raises(PromptError, match="a:nan"):
        weighted("a:nan")
