"""The language model: it learns from text, goes on after a kill with the same bytes, and refuses what is no text."""

import json
import math

import numpy as np
import pytest
import torch

from sfumato.checkpoints.folder import load_part
from sfumato.data.text.tokens import TextTokenizer
from sfumato.errors import CheckpointError, DataError, RecipeError
from sfumato.pipelines.facts import facts
from sfumato.pipelines.language.language_model import LanguageModel
from sfumato.pipelines.model import load
from sfumato.progress import Progress
from sfumato.training import loop, texts
from sfumato.training import recipe as recipes
from sfumato.training.stage import Draw
from sfumato.training.stages import builder
from sfumato.training.stages.language import mean_surprise, measured, surprise
from sfumato.training.team import Team
from sfumato.training.train import train

TEXT = "The cat sat on the mat.\r\nThe dog sat on the log.\n" * 40
SMALL = [
    "language.block=16",
    "language.width=16",
    "language.layers=1",
    "language.heads=2",
    "language.batch=8",
    "language.steps=30",
    "language.warmup=2",
    "language.learning_rate=0.03",
    "language.evaluate_every=10",
    "run.previews=1",
    "run.log_every=7",
    "run.precision=float32",
]
TINY = ("gpt", SMALL, None, None, True, "tiny")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "rhyme.txt"
    path.write_bytes(TEXT.encode())
    return path


@pytest.fixture(scope="module")
def model(text, tmp_path_factory):
    return train(text, tmp_path_factory.mktemp("model"), *TINY)


def workshop(text, folder, *settings):
    recipe = recipes.load("gpt", [*SMALL, *settings], "tiny")
    return texts.open_workshop(text, recipe, folder, folder / "run", Team(), Progress(quiet=True))


# --- what it becomes --------------------------------------------------------------------------------------------------


def test_it_learns_and_says_how_well(model):
    lines = [json.loads(line) for line in (model / "run" / "language" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert [line["step"] for line in lines if "validation_loss" in line] == [10, 20, 30]
    assert losses[2] < losses[1] < losses[0] < math.log(len(set(TEXT)))
    done = json.loads((model / "run" / "language" / "done.json").read_text())
    assert done["facts"]["validation_loss"] == pytest.approx(losses[-1], abs=1e-4)  # so little text is looked at whole
    assert json.loads((model / "sfumato.json").read_text())["training"]["language"]["validation_loss"] > 0


def test_the_model_folder_holds_the_network_and_its_tokenizer(model):
    tokenizer, network = TextTokenizer.load(model / "language_model"), load_part(model, "language_model")
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert network.config.vocab_size == tokenizer.vocab_size == len(set(TEXT))
    assert json.loads((model / "model_index.json").read_text()) == {
        "_class_name": "SfumatoWords",
        "language_model": ["transformers", "LlamaForCausalLM"],
    }
    lineage = json.loads((model / "sfumato.json").read_text())
    assert lineage["data"] | {"fingerprint": ""} == {
        "source": "rhyme.txt",
        "licence": "unknown",
        "documents": 1,
        "tokens": len(TEXT),
        "fingerprint": "",
    }


def test_transformers_opens_it_and_gives_the_same_logits(model):
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    theirs, ours = AutoModelForCausalLM.from_pretrained(model / "language_model"), load_part(model, "language_model")
    ids = torch.tensor([TextTokenizer.load(model / "language_model").encode("The dog sat")])
    with torch.no_grad():
        assert torch.allclose(ours(ids), theirs(ids).logits, atol=1e-4)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model / "language_model")
    assert tokenizer("The dog sat").input_ids == ids[0].tolist()


def test_what_it_is_is_told_and_pictures_are_refused(model):
    told = dict(facts(model).summary)
    assert told["way"] == "words"
    assert "2,000 tokens" in told["data"].replace(f"{len(TEXT):,}", "2,000")
    assert "validation loss" in told["language"]
    with pytest.raises(CheckpointError, match="language model"):
        load(model)


def test_samples_are_texts_that_can_be_read(model):
    (sample,) = (model / "run" / "language").glob("samples-*")
    assert sample.suffix == ".txt"
    assert sample.read_text(encoding="utf-8").count("|") == 3


def test_it_writes_what_it_has_learned(model):
    (text,) = LanguageModel.load(model, "cpu").write("The ", tokens=12, seed=1)
    assert set(text.written) <= set(TEXT)
    assert len(text.written) == 12


# --- what it learns from ----------------------------------------------------------------------------------------------


def test_the_processes_of_a_team_share_one_batch_of_what_is_learned_from(text, tmp_path):
    shop = workshop(text, tmp_path)
    stage = builder("language", shop)(shop.recipe)
    (whole,) = stage.batch(Draw(0, "language", 3, 8, Team()))
    parts = [stage.batch(Draw(0, "language", 3, 8, Team(rank, 2)))[0] for rank in range(2)]
    assert torch.equal(whole, torch.cat(parts))
    assert whole.shape == (8, 17)
    assert not torch.equal(whole, stage.batch(Draw(0, "language", 4, 8, Team()))[0])
    learned = shop.tokenizer.decode(shop.store.split(0.1)[0].tolist())
    assert all(shop.tokenizer.decode(row) in learned for row in whole.tolist())


def test_byte_pairs_are_learned_from_captions_of_which_each_ends(tmp_path):
    settings = [*SMALL, "language.tokens=bytes", "language.vocabulary=320", "language.steps=2"]
    folder = train("digits", tmp_path / "model", "gpt", settings, quiet=True, size="tiny")
    tokenizer = TextTokenizer.load(folder / "language_model")
    data = json.loads((folder / "sfumato.json").read_text())["data"]
    assert tokenizer.vocab_size == 320
    assert data["documents"] == 1442 * 20
    assert data["licence"].startswith("CC BY 4.0")


def test_scenes_are_read_as_captions(tmp_path):
    recipe = recipes.load("gpt", [*SMALL, "data.scenes=20", "data.concepts=40"])
    corpus = texts.corpus_of("scenes", recipe)
    store = texts.open_workshop("scenes", recipe, tmp_path, tmp_path, Team(), Progress(quiet=True)).store
    assert store.documents == 20
    assert corpus.stamp == texts.corpus_of("scenes", recipe).stamp


# --- measuring and writing --------------------------------------------------------------------------------------------


def test_the_mean_surprise_is_over_every_token_once(model):
    network, tokens = load_part(model, "language_model"), np.arange(70, dtype=np.uint16) % 10
    singly = []
    for start in range(0, 69, 16):
        ids = torch.tensor(tokens[start : start + 17].astype(int))[None]
        with torch.no_grad():
            singly += surprise(network(ids[:, :-1]), ids[:, 1:], "none").tolist()
    assert len(singly) == 69
    assert mean_surprise(network, tokens, 16) == pytest.approx(sum(singly) / 69, rel=1e-5)
    assert mean_surprise(network, tokens, 16, most=4) == pytest.approx(sum(singly[:64]) / 64, rel=1e-5)
    assert mean_surprise(network, tokens[:5], 16) is not None
    assert mean_surprise(network, tokens[:1], 16) is None


def test_nothing_is_dropped_where_it_is_measured(text, tmp_path):
    shop = workshop(text, tmp_path, "language.dropout=0.5")
    stage = builder("language", shop)(shop.recipe)
    (ids,) = stage.batch(Draw(0, "language", 0, 8, Team()))
    learning = [stage.objective(ids)["loss"].item() for _ in range(2)]
    assert learning[0] != learning[1]
    with measured(stage.objective.network):
        looking = [stage.objective(ids)["loss"].item() for _ in range(2)]
    assert looking[0] == looking[1]
    assert stage.objective.network.training


# --- nothing is lost --------------------------------------------------------------------------------------------------


def test_a_training_with_dropout_that_was_cut_short_ends_with_the_same_bytes(tmp_path, text, weights, monkeypatch):
    settings = [*SMALL, "language.dropout=0.2", "run.checkpoint_seconds=0"]  # after each step
    undisturbed = train(text, tmp_path / "undisturbed", "gpt", settings, quiet=True, size="tiny")
    cut = tmp_path / "cut"

    def stop(step, *_):
        if step == 17:
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(loop, "is_preview_due", stop)
        with pytest.raises(KeyboardInterrupt):
            train(text, cut, "gpt", settings, quiet=True, size="tiny")
    assert not (cut / "model_index.json").exists()
    (cut / "run" / "language" / "step-00000017.safetensors").unlink()  # a step is done again
    train(text, cut, "gpt", settings, quiet=True, size="tiny")
    assert weights(cut) == weights(undisturbed)
    assert (cut / "sfumato.json").read_bytes() == (undisturbed / "sfumato.json").read_bytes()
    other = train(text, tmp_path / "other", "gpt", [*settings, "language.dropout=0.3"], quiet=True, size="tiny")
    assert weights(other) != weights(undisturbed)  # it does drop


def test_random_numbers_of_the_program_are_its_own(text, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(text, tmp_path / "model", "gpt", [*SMALL, "language.steps=2", "language.dropout=0.5"], quiet=True)
    assert torch.equal(torch.rand(2), expected)


def test_another_text_in_the_same_folder_is_refused(text, model, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(TEXT.replace("cat", "cow"))
    with pytest.raises(RecipeError, match="The texts are not those that this training began with"):
        train(other, model, *TINY)


# --- what is no text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"bad\.txt: holds no text"),
        (b"abc\0def", r"bad\.txt: byte 3 is zero; this is a binary file"),
        (b"abc \xe9t\xe9", r"bad\.txt: not UTF-8 at byte 4"),
        (b"too short", r"The text has 8 tokens to learn from, and language\.block=16 needs 17"),
    ],
)
def test_what_is_no_text_is_refused_and_leaves_no_model(tmp_path, content, said):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        train(path, tmp_path / "model", *TINY)
    assert not (tmp_path / "model" / "model_index.json").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("language.tokens=words", "language.tokens"),
        ("language.dropout=1", "language.dropout"),
        ("language.validation=1", "language.validation"),
        ("language.vocabulary=256", "language.vocabulary"),
        ("language.heads=3", "not shared evenly by 3 heads"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(setting, said):
    with pytest.raises(RecipeError, match=said):
        recipes.load("gpt", [*SMALL, setting])


def test_a_text_without_a_part_to_measure_by_is_learned_from(text, tmp_path):
    settings = [*SMALL, "language.validation=0", "language.steps=2"]
    folder = train(text, tmp_path / "model", "gpt", settings, quiet=True, size="tiny")
    assert "validation_loss" not in (folder / "sfumato.json").read_text()


def test_binary_files_among_texts_are_told_and_the_others_learned_from(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "good.txt").write_text(TEXT)
    (tmp_path / "texts" / "bad.txt").write_bytes(b"\x7fELF\0\0")
    folder = train(tmp_path / "texts", tmp_path / "model", "gpt", [*SMALL, "language.steps=2"], quiet=True)
    problem = json.loads((folder / "run" / "problems.jsonl").read_text())
    assert problem["where"] == "bad.txt"
    assert "byte 4 is zero" in problem["reason"]
