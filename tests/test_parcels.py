"""A training is carried in small files: whole or not at all, and gone on with where it is unpacked."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from torch import nn

from sfumato.errors import DataError
from sfumato.training.ema import Average
from sfumato.training.loop import advance
from sfumato.training.optimizers import build
from sfumato.training.recipe import Run, Training
from sfumato.training.run_folder import RunFolder
from sfumato.training.state import State
from sfumato.training.team import Team

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import parcels  # noqa: E402
import slimming  # noqa: E402

PLAN = Training(steps=100, batch=4, warmup=0)


class Objective(nn.Module):
    """Two matrices, of which one is no matrix, and what does not learn."""

    def __init__(self):
        super().__init__()
        self.inner, self.conv_in, self.frozen = nn.Linear(24, 24), nn.Conv2d(2, 8, 3), nn.Linear(2, 2)
        self.frozen.requires_grad_(False)

    def forward(self, x):
        return {"loss": (self.inner(x) - 1).square().mean() + self.conv_in.weight.square().mean()}


def state(seed=0):
    torch.manual_seed(seed)
    network = Objective()
    return State(network, build(network, PLAN), Average(network, 0.9))


def step(some):
    return float(advance(some, some.network, (torch.ones(4, 24),), PLAN, Team())["loss"])


@pytest.fixture
def training(tmp_path):
    """A folder with a part that is ready, a stage that is complete and one under way."""
    folder = tmp_path / "model"
    (folder / "vae").mkdir(parents=True)
    (folder / "vae" / "weights.safetensors").write_bytes(b"ready" * 1000)
    trained = state()
    for name in ("autoencoder", "denoiser"):
        run = RunFolder(folder / "run" / name, Run(), leads=True)
        run.begin({"steps": 100})
        for _ in range(3):
            step(trained)
            run.keep(trained)
            run.log(trained.step, {"loss": 1.0})
        run.close()
        (run.path / "samples-00000003.png").write_bytes(b"seen")
    RunFolder(folder / "run" / "autoencoder", Run(), leads=True).finish({"steps": 3})
    (folder / "run" / "latents.safetensors").write_bytes(b"kept, and computed again")
    return folder, trained


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_needed_travels_and_nothing_else(training, tmp_path):
    folder, _ = training
    parcels.pack(folder, tmp_path / "out")
    assert parcels.unpack(tmp_path / "out", tmp_path / "there")
    there = files(tmp_path / "there")
    events = {name for name in there if "tensorboard" in name}
    assert there - events == {
        ".parcels",
        "vae/weights.safetensors",
        "run/autoencoder/plan.json",
        "run/autoencoder/done.json",
        "run/autoencoder/metrics.jsonl",
        "run/denoiser/plan.json",
        "run/denoiser/metrics.jsonl",
        "run/denoiser/step-00000006.safetensors",
    }
    assert (tmp_path / "there/vae/weights.safetensors").read_bytes() == b"ready" * 1000


@pytest.mark.parametrize(("form", "near"), [("both", 0.005), ("average", 0.005), ("bytes", 0.01)])
def test_a_slimmed_checkpoint_goes_on(training, tmp_path, form, near):
    folder, trained = training
    slimmed = tmp_path / "slim.safetensors"
    slimming.slim(folder / "run/denoiser/step-00000006.safetensors", slimmed, form)
    slimming.restore(slimmed)
    again = state(seed=1)
    again.load(slimmed)
    assert again.step == 6
    for name, value in trained.average.values.items():
        assert (again.average.values[name] - value).abs().max() <= near * value.abs().max()
    wanted = dict(trained.network.named_parameters()) if form == "both" else trained.average.values
    weights = dict(again.network.named_parameters())
    for name, value in wanted.items():
        assert (weights[name] - value).abs().max() <= near * value.abs().max()
    assert (weights["frozen.weight"] - trained.network.frozen.weight).abs().max() < 0.01
    assert all(not optimizer.state for optimizer in again.optimizers)
    losses = [step(again) for _ in range(5)]
    assert losses[-1] < losses[0]


def test_a_checkpoint_is_slimmed_as_far_as_it_must(training, tmp_path):
    folder, _ = training
    room = 10**6
    for form in ("both", "average", "bytes"):
        assert parcels.pack(folder, tmp_path / "out", total=room) == form
        room = int(0.97 * sum(path.stat().st_size for path in (tmp_path / "out").iterdir()))
    with pytest.raises(parcels.DoesNotFit, match=r"does not fit.*both.*average.*bytes"):
        parcels.pack(folder, tmp_path / "out", total=room)
    assert parcels.unpack(tmp_path / "out", tmp_path / "there"), "what was packed last is whole"


def test_what_is_too_large_is_refused_and_stays(training, tmp_path):
    folder, _ = training
    before = files(folder)
    with pytest.raises(parcels.DoesNotFit, match=r"2 parcels of 0.0005 MB"):
        parcels.pack(folder, tmp_path / "out", files=2, size=500)
    assert files(folder) == before
    assert not (tmp_path / "out").exists()


def test_parcels_are_small_and_replace_earlier_ones(training, tmp_path):
    folder, _ = training
    out = tmp_path / "out"
    parcels.pack(folder, out, files=99, size=700)
    assert len(files(out)) > 2
    assert max(path.stat().st_size for path in out.iterdir()) == 700
    earlier = files(out)
    RunFolder(folder / "run/denoiser", Run(), leads=True).finish({"steps": 6})
    parcels.pack(folder, out)
    assert not earlier & files(out)
    parcels.unpack(out, tmp_path / "there")
    assert not list((tmp_path / "there").rglob("step-*"))


@pytest.mark.parametrize("harm", ["cut", "changed", "lost", "mixed", "none"])
def test_broken_parcels_are_refused_and_nothing_is_lost(training, tmp_path, harm):
    folder, _ = training
    out = tmp_path / "out"
    parcels.pack(folder, out, files=99, size=1500)
    one = sorted(out.iterdir())[1]
    if harm == "cut":
        one.write_bytes(one.read_bytes()[:-1])
    elif harm == "changed":
        one.write_bytes(bytes([one.read_bytes()[0] ^ 1]) + one.read_bytes()[1:])
    elif harm == "lost":
        one.unlink()
    elif harm == "mixed":
        one.rename(out / re.sub(r"\.[0-9a-f]{16}", "." + "0" * 16, one.name))
    else:
        for each in out.iterdir():
            each.unlink()
    with pytest.raises(DataError):
        parcels.unpack(out, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_parcels_lead_nowhere_else_and_unpack_to_no_flood(tmp_path, monkeypatch):
    monkeypatch.setattr(parcels, "LARGEST", 10_000)
    with pytest.raises(parcels.lzma.LZMAError, match="larger"):
        parcels._stretched(parcels._squeezed(bytes(20_000)))
    assert parcels._stretched(parcels._squeezed(bytes(9_000))) == bytes(9_000)


def test_a_training_that_is_there_still_goes_on(training, tmp_path):
    folder, _ = training
    parcels.pack(folder, tmp_path / "out")
    assert not parcels.unpack(tmp_path / "out", folder), "it holds more than its parcels"
    RunFolder(folder / "run/denoiser", Run(), leads=True).finish({"steps": 6})
    parcels.pack(folder, tmp_path / "later")
    with pytest.raises(DataError, match="another training"):
        parcels.unpack(tmp_path / "out", folder)


def test_the_script_is_right_and_brings_all_that_is_not_there():
    script = ROOT / "scripts" / "train_default.sh"
    subprocess.run(["bash", "-n", script], check=True)
    listed = re.search(r"PACKAGES=\(([^)]*)\)", script.read_text())
    brought = {_plain(name) for name in listed[1].split()}
    there = _closure({"torch", "numpy", "safetensors", "pillow", "tokenizers", "rich"})
    wanted = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    needed = _closure({Requirement(name).name for name in re.findall(r'"([^"]+)"', wanted[1])})
    assert needed - there <= brought


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _closure(names):
    """Packages and all that these ask for, as installed here."""
    found, left = set(), {_plain(name) for name in names}
    while left:
        name = left.pop()
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            each = Requirement(text)
            if each.marker is None or each.marker.evaluate({"extra": ""}):
                left |= {_plain(each.name)} - found
    return found
