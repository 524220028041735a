"""`sfumato serve` offers what it was told, makes keys, and ends when it is asked to."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from typer.testing import CliRunner

from sfumato.cli.main import app
from sfumato.cli.serve import _limits, named_models
from sfumato.errors import CheckpointError, RecipeError
from sfumato.server.keys import Keys


def test_a_key_is_shown_once_and_revoked(tmp_path):
    made = CliRunner().invoke(app, ["serve", "--store", str(tmp_path), "--new-key", "me"])
    assert made.exit_code == 0
    keys = Keys(tmp_path / "keys.json")
    assert keys.owner(made.stdout.strip())
    revoked = CliRunner().invoke(app, ["serve", "--store", str(tmp_path), "--revoke-key", "me"])
    assert revoked.exit_code == 0
    assert f"delete {keys.file}" in revoked.stderr
    assert keys.all() == ()


def test_models_are_offered_by_name():
    assert named_models(["digits", "mine=models/mine", "models/other.safetensors"]) == {
        "digits": "digits",
        "mine": "models/mine",
        "other": "models/other.safetensors",
    }


@pytest.mark.parametrize("models", [["a=b", "a=c"], ["=b"], ["a="], ["a/b=c"]])
def test_names_that_are_none_or_taken_are_refused(models):
    with pytest.raises(RecipeError, match="--model"):
        named_models(models)


def test_a_model_that_is_nowhere_is_refused_before_anything_begins():
    with pytest.raises(CheckpointError, match="There is no model 'nothing'"):
        named_models(["digits", "mine=nothing"])


def test_limits_are_numbers_by_name():
    limits = _limits(["pixels=4096", "seconds=2.5"])
    assert (limits.pixels, limits.seconds, limits.queue) == (4096, 2.5, 256)
    for wrong in ("pixels", "pixels=many", "files=1", "magic=1"):
        with pytest.raises(RecipeError, match="each_owner"):
            _limits([wrong])
    with pytest.raises(RecipeError, match="above 0"):
        _limits(["queue=0"])


def test_the_server_makes_pictures_until_it_is_asked_to_end(tmp_path):
    command = [sys.executable, "-m", "sfumato", "serve", "--model", "digits", "--port", "0", "--store", "store"]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        body = json.dumps({"prompt": "a handwritten seven", "steps": 2, "seed": 3}).encode()
        headers = {"content-type": "application/json"}
        ask = urllib.request.Request(f"{address}/v1/images/generations", body, headers)
        with urllib.request.urlopen(ask, timeout=120) as answer:
            assert json.load(answer)["size"] == "64x64"
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=120)
    assert server.returncode == 0, errors
    assert f"Jobs and pictures are in {tmp_path / 'store'}." in errors
    assert len([*(tmp_path / "store" / "pictures").rglob("*.png")]) == 1
