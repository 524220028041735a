"""A training tells beforehand how long it takes: every stage is tried, nothing of it stays, and the data are ready."""

import json

import pytest

from sfumato.errors import RecipeError
from sfumato.training import budget
from sfumato.training.rehearsal import PREFIX, rehearse
from sfumato.training.train import train


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(budget, "MOMENT", 0.0)  # the fewest steps


def test_every_stage_is_told_and_the_training_goes_on_from_the_same_pictures(tmp_path, tiny):
    out = tmp_path / "model"
    told = rehearse("digits", out, settings=tiny, quiet=True)
    assert [stage.name for stage in told.stages] == ["autoencoder", "clip", "denoiser", "upsampler"]
    assert [stage.steps for stage in told.stages] == [24] * 4
    assert told.seconds == pytest.approx(told.preparing + sum(stage.seconds for stage in told.stages))
    assert all(stage.seconds > stage.preparing > 0 for stage in told.stages)
    assert (told.samples, told.set_aside, told.device_memory) == (1442, 0, 0)
    assert told.memory > 2**27
    assert json.dumps(told.to_dict())
    assert [path.name for path in out.iterdir()] == ["run"]
    assert [path.name for path in (out / "run").iterdir()] == ["pictures"]
    prepared = {path: path.stat().st_mtime_ns for path in (out / "run" / "pictures").rglob("*.u8")}
    train("digits", out, settings=[*tiny, *(f"{stage.name}.steps=1" for stage in told.stages)], quiet=True)
    assert {path: path.stat().st_mtime_ns for path in (out / "run" / "pictures").rglob("*.u8")} == prepared


def test_a_budget_is_what_it_takes_and_decides_the_steps(tmp_path, tiny):
    told = rehearse("digits", tmp_path, settings=[*tiny, "size='tiny'"], budget="30s", quiet=True)
    assert sum(stage.seconds for stage in told.stages) <= 30
    assert all(stage.steps >= budget.FEWEST_STEPS for stage in told.stages)


def test_what_a_killed_one_left_is_removed(tmp_path, tiny):
    left = tmp_path / "run" / f"{PREFIX}left"
    left.mkdir(parents=True)
    with pytest.raises(RecipeError):
        rehearse("digits", tmp_path, settings=["data.size=17"], quiet=True)
    assert left.exists()
    rehearse("digits", tmp_path, recipe="gradient", settings=[*tiny, "data.size=8"], quiet=True)
    assert not left.exists()
