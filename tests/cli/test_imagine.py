"""`sfumato imagine` and `sfumato generate --expand`, with a writer beside the model or in its folder."""

import json
import shutil

import pytest
from typer.testing import CliRunner

import tiny_writers
from sfumato.cli.main import app
from sfumato.errors import CheckpointError, DataError
from sfumato.pipelines.digests import fingerprint
from sfumato.pipelines.finding import EMBEDDED
from sfumato.pipelines.keepsake import read_recipe

CAPTIONS = ["a handwritten seven", "a handwritten two", "a bold seven", "the digit two", "a wug"]
QUICK = ("--steps", 1, "--seed", 3, "--model", "digits", "--device", "cpu")


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writer") / "my-writer"
    tiny_writers.trained(CAPTIONS).save(folder / "language_model")
    return folder


def said(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    return result


def test_prompts_are_printed_a_line_each_and_hold_only_words_of_the_model(writer):
    asked = ("imagine", "-n", 3, "--model", "digits", "--writer", writer, "--seed", 5, "--device", "cpu")
    result = said(*asked)
    prompts = result.stdout.splitlines()
    assert len(set(prompts)) == 3
    assert set(prompts) & set(CAPTIONS)
    assert not any("wug" in prompt for prompt in prompts)
    assert "of the texts drawn were no prompts, seed 5" in result.stderr
    assert said(*asked[:2], 2, *asked[3:], "--quiet").stdout.splitlines() == prompts[:2]
    assert all("seven" in prompt for prompt in said(*asked, "--must", "seven", "-q").stdout.splitlines())


def test_prompts_that_are_not_wanted_again_are_left_out(writer, tmp_path):
    asked = ("imagine", "-n", 1, "--model", "digits", "--writer", writer, "--seed", 5, "--device", "cpu", "-q")
    known = tmp_path / "captions.txt"
    known.write_text("\n".join(CAPTIONS[:2]), encoding="utf-8")
    (prompt,) = said(*asked, "--besides", known).stdout.splitlines()
    assert prompt not in CAPTIONS[:2]
    with pytest.raises(DataError, match="nowhere"):
        said(*asked, "--besides", tmp_path / "nowhere.txt")


def test_a_model_with_a_writer_of_its_own_needs_no_other_and_is_the_same_model(writer, tmp_path):
    model = tmp_path / "digits"
    shutil.copytree(EMBEDDED / "digits", model)
    shutil.copytree(writer / "language_model", model / "language_model")
    assert fingerprint(model) == fingerprint(EMBEDDED / "digits")
    assert said("imagine", "-n", 2, "--model", model, "--seed", 5, "--device", "cpu", "-q").stdout


def test_a_model_without_a_writer_says_how_to_get_one():
    for command in (("imagine",), ("generate", "7", "--expand")):
        with pytest.raises(CheckpointError, match=r"sfumato train digits --recipe gpt (.|\n)*--writer my-writer"):
            said(*command, "--model", "digits", "--device", "cpu")


def test_a_picture_of_an_expanded_prompt_tells_both_and_replays_without_the_writer(writer, tmp_path):
    elsewhere = tmp_path / "writer"
    shutil.copytree(writer, elsewhere)
    done = said("generate", "a hand", *QUICK, "--expand", "--writer", elsewhere, "--out", tmp_path)
    assert "The prompt stays 'a hand'" in done.stderr  # each word that could follow would be another
    done = said("generate", "a bold", *QUICK, "--expand", "--writer", elsewhere, "--out", tmp_path)
    assert "Added to the prompt: 'seven', so that it is 'a bold seven'" in done.stderr
    picture = tmp_path / "a-bold-3.png"
    request = read_recipe(picture)["request"]
    assert (request["typed"], request["prompt"]) == ("a bold", "a bold seven")
    shutil.rmtree(elsewhere)
    again = said("replay", picture, "--out", tmp_path / "again.png", "--device", "cpu")
    assert "the same pixels" in again.stdout
    assert read_recipe(tmp_path / "again.png")["request"]["typed"] == "a bold"
    said("generate", "a bold seven", *QUICK, "--out", tmp_path / "plain")
    plain = read_recipe(tmp_path / "plain" / "a-bold-seven-3.png")["request"]
    assert json.dumps(plain) == json.dumps(request | {"typed": ""})
