"""`sfumato write` prints texts, whole or as they come, and says what is wrong."""

import re

import pytest
from typer.testing import CliRunner

from sfumato.cli.main import app
from sfumato.data.text.tokens import TextTokenizer
from sfumato.errors import CheckpointError, DataError, PromptError
from sfumato.networks.initialisation import initialise
from sfumato.networks.llama import Llama, LlamaConfig
from sfumato.pipelines.language.language_model import LanguageModel

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokenizer = TextTokenizer.of_characters(["Once upon a time, a cat.\n"])
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("writer")
    LanguageModel(initialise(Llama(config)).eval(), tokenizer).save(folder)
    return str(folder)


def said(*arguments):
    result = runner.invoke(app, ["write", *map(str, arguments), "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0
    return result


def test_texts_are_printed_the_same_whole_and_as_they_come(folder):
    settings = ("Once", "-n", 3, "--model", folder, "--tokens", 12, "--seed", 4)
    whole = said(*settings)
    texts = whole.stdout.removesuffix("\n").split("\n---\n")
    assert len(texts) == 3
    assert all(text.startswith("Once") and len(text) == 16 for text in texts)
    assert re.search(r"3 text\(s\), 36 tokens in .* seed 4", whole.stderr)
    streamed = said(*settings, "--stream", "--quiet")
    assert streamed.stdout == whole.stdout
    assert not streamed.stderr


def test_settings_reach_the_model(folder):
    more = ("--temperature", 0.5, "--top-k", 5, "--top-p", 0.9, "--min-p", 0.01, "--repetition-penalty", 1.1)
    text = said("", "-m", folder, *more, "--must", "cat", "--stop", r"\n", "--tokens", 40, "--seed", 1, "-q").stdout
    assert "cat" in text.removesuffix("\n")
    assert "\n" not in text.removesuffix("\n")
    assert len(said("a", "-m", folder, "--tokens", 100, "--slide", "-q").stdout) == 102


def test_a_page_of_what_might_have_come_is_written_beside_the_same_text(folder, tmp_path):
    settings = ("Once", "-m", folder, "--tokens", 12, "--seed", 4)
    page = tmp_path / "text.html"
    assert said(*settings, "--xray", page).stdout == said(*settings).stdout
    assert "12 tokens" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        (["a", "--model", "FOLDER", "-n", "2", "--xray", "page.html"], PromptError, "--xray is of one text"),
        (["Once", "--model", "digits"], CheckpointError, "Train one: sfumato train TEXT --recipe gpt"),
        (["Zoo", "--model", "FOLDER"], DataError, r"'Z' \(U\+005A\), number 1 of the text"),
        (["a", "--model", "FOLDER", "--tokens", "90"], PromptError, "1 tokens and 90 more .* reads at most 64"),
        (["a", "--model", "FOLDER", "--top-p", "2"], PromptError, "top_p=2.0 is out of its range"),
    ],
)
def test_what_is_wrong_is_said(folder, arguments, error, why):
    arguments = [folder if each == "FOLDER" else each for each in arguments]
    with pytest.raises(error, match=why):
        runner.invoke(app, ["write", *arguments, "--device", "cpu"], catch_exceptions=False)


def test_the_default_model_writes_prompts():
    assert said("a red", "--seed", 1, "-q").stdout.startswith("a red")
