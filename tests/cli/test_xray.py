"""`sfumato xray` writes one page about a picture, with what else was asked for."""

import re

import pytest
from typer.testing import CliRunner

from sfumato.cli.main import app
from sfumato.errors import PromptError

runner = CliRunner()


def xray(*arguments):
    given = ["xray", *map(str, arguments), "--model", "digits", "--steps", "2", "--seed", "3", "--device", "cpu"]
    return runner.invoke(app, given, catch_exceptions=False)


def test_a_page_holds_what_was_asked_for(tmp_path):
    page = tmp_path / "seven.html"
    done = xray(
        "a handwritten seven", "--seeds", 2, "--every-word", "--instead", "seven=one", "--nearest", 2, "-o", page
    )
    assert done.exit_code == 0
    assert done.stdout.strip() == str(page)
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"<h3>(with.*?|“one.*?)</h3>", text) == [
        "without “a”",
        "without “handwritten”",
        "without “seven”",
        "“one” for “seven”",
    ]
    assert "seed 4</li>" in text
    assert text.count("Training picture: ") == 2


def test_two_prompts_stand_side_by_side(tmp_path):
    page = tmp_path / "two.html"
    beside = ("--against", "a handwritten one", "--without", "seven", "--seeds", 1, "--nearest", 0)
    assert xray("a handwritten seven", *beside, "-q", "-o", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert text.count('class="panel"') == 2
    assert "Nearest training pictures" not in text


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--instead", "seven"], "--instead takes a word"),
        (["--without", "cat"], "There is no word 'cat'"),
        (["--interval", "low"], "--interval takes LOW:HIGH"),
    ],
)
def test_what_cannot_be_is_refused_before_a_page_is_written(tmp_path, arguments, why):
    page = tmp_path / "no.html"
    with pytest.raises(PromptError, match=why):
        xray("a handwritten seven", "--seeds", 1, *arguments, "-o", page)
    assert not page.exists()
