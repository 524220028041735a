"""The page of the language model does what it says."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sfumato.cli.main import app
from sfumato.data.text.tokens import TextTokenizer
from sfumato.networks.gpt2 import GPT2, GPT2Config
from sfumato.networks.initialisation import initialise
from sfumato.pipelines.language.language_model import LanguageModel

PAGE = (Path(__file__).parents[3] / "docs" / "language.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tokenizer = TextTokenizer.train(["Once upon a time the sea and a whale"])
    config = GPT2Config(vocab_size=257, n_positions=64, n_embd=16, n_layer=1, n_head=2, eos_token_id=256)
    model = LanguageModel(initialise(GPT2(config)).eval(), tokenizer)
    for name in ("my-writer", "gpt2"):
        model.save(name)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_python_of_the_page_runs(code):
    exec(compile(code, "docs/language.md", "exec"), {})


@pytest.mark.parametrize("line", [line for line in PAGE.splitlines() if line.startswith("sfumato write")])
def test_the_commands_of_the_page_run(line):
    result = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout
