"""`sfumato train --estimate` tells people and programs what a training will take, and trains nothing."""

import json

import pytest
from typer.testing import CliRunner

from sfumato.cli.main import app
from sfumato.errors import RecipeError
from sfumato.training import rehearsal
from sfumato.training.rehearsal import Rehearsal, StageTime

TOLD = Rehearsal(
    device="cpu",
    samples=1442,
    set_aside=3,
    preparing=5.0,
    stages=(StageTime("clip", "tiny", 150, 1.0, 55.0), StageTime("denoiser", "tiny", 9000, 2.0, 4000.0)),
    memory=2**30,
    device_memory=0,
    free_memory=2**32,
    free_disk=2**40,
)


@pytest.fixture
def asked(monkeypatch):
    """What the command asked for."""
    calls = []
    monkeypatch.setattr(rehearsal, "rehearse", lambda *arguments: calls.append(arguments) or TOLD)
    return calls


def test_people_are_told_stage_by_stage_and_in_all(asked, tmp_path):
    done = CliRunner().invoke(app, ["train", "digits", "-o", str(tmp_path / "model"), "--estimate", "--budget", "1h"])
    assert done.exit_code == 0, done.output
    assert "1,442 samples, 3 set aside, on cpu" in done.output
    assert "0 min 55 s" in done.output
    assert "in all 1 h 07 min" in done.output
    assert "1.0 GiB of memory, 4.0 GiB were free" in done.output
    assert asked == [("digits", tmp_path / "model", None, [], "1h", False, None)]


def test_programs_are_told_in_json(asked, tmp_path):
    done = CliRunner().invoke(app, ["train", "digits", "-o", str(tmp_path), "--estimate", "--json"])
    told = json.loads(done.output)
    assert told["seconds"] == 4060
    assert told["stages"][1]["steps"] == 9000
    assert asked[0][5]  # quiet


def test_one_stage_alone_is_not_told_of(asked, tmp_path):
    done = CliRunner().invoke(app, ["train", "digits", "-o", str(tmp_path), "--estimate", "--stage", "clip"])
    assert isinstance(done.exception, RecipeError)
    assert not asked
