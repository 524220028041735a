"""The loop, with a small network that can be made to fail."""

import resource
from contextlib import closing

import pytest
import torch
from PIL import Image
from torch import nn

from sfumato.errors import StorageError, TrainingError
from sfumato.progress import Progress
from sfumato.training.ema import Average
from sfumato.training.loop import fit, is_preview_due, learning_rate
from sfumato.training.muon import Muon, orthogonalise
from sfumato.training.optimizers import build
from sfumato.training.recipe import Denoiser, Run, Training
from sfumato.training.run_folder import RunFolder
from sfumato.training.stage import Stage
from sfumato.training.state import State
from sfumato.training.team import Team

TRUTH = torch.randn(4, 8, generator=torch.Generator().manual_seed(5))


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(8, 4)

    def forward(self, x, poison):
        return {"loss": (self.inner(x) - x @ TRUTH.T).square().mean() * poison}


def stage(poisoned=lambda draw: False):
    def batch(draw):
        return draw.normal("x", 8), torch.tensor(float("nan") if poisoned(draw) else 1.0)

    return Stage(Line(), batch, lambda: Image.new("RGB", (4, 4)), dict)


def train(tmp_path, stage, **values):
    plan = Training(**{"steps": 60, "batch": 16, "warmup": 5, "ema": 0.9, **values})
    folder = RunFolder(tmp_path, Run(log_every=5, checkpoint_seconds=0, previews=2), leads=True)
    return fit("line", stage, plan, 0, folder, Team(), Progress(quiet=True)), folder


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.05), ("muon", 0.2)])
def test_the_loss_falls_and_the_average_follows(tmp_path, optimizer, rate):
    state, folder = train(tmp_path, stage(), optimizer=optimizer, learning_rate=rate, steps=200, clip=100)
    assert (state.network.inner.weight - TRUTH).abs().max() < 0.3
    assert (state.average.values["inner.weight"] - TRUTH).abs().max() < 0.3
    assert [path.name for path in sorted(tmp_path.glob("samples-*"))] == [
        "samples-00000100.png",
        "samples-00000200.png",
    ]
    assert len(folder.checkpoints()) == 2


def test_after_a_nan_training_goes_back_to_the_last_good_state_with_other_batches(tmp_path):
    state, _ = train(tmp_path, stage(lambda draw: draw.attempt == 0 and draw.step == 31))
    assert (state.step, state.attempt) == (60, 1)
    assert all(parameter.isfinite().all() for parameter in state.network.parameters())


def test_a_loss_that_stays_nan_ends_training_with_advice(tmp_path):
    with pytest.raises(TrainingError, match=r"a lower line\.learning_rate"):
        train(tmp_path, stage(lambda draw: draw.step > 31))
    state = fresh()
    RunFolder(tmp_path, Run(), leads=True).restore(state)
    assert state.step <= 32  # steps are counted from 0
    assert all(parameter.isfinite().all() for parameter in state.network.parameters())


def fresh():
    network = Line()
    return State(network, build(network, Training()), Average(network, 0.9))


def test_a_state_comes_back_whole(tmp_path):
    state, _ = train(tmp_path / "run", stage())
    state.save(tmp_path / "state.safetensors")
    other = fresh()
    other.load(tmp_path / "state.safetensors")
    assert other.step == state.step
    ours, theirs = state._tensors(), other._tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_learning_rate_warms_up_and_decays_to_nothing():
    plan = Training(steps=100, warmup=10, decay="linear")
    assert learning_rate(0, plan) == pytest.approx(0.1)
    assert learning_rate(50, plan) == pytest.approx(0.5)
    assert learning_rate(99, plan) == pytest.approx(0.01)
    assert learning_rate(99, Training(steps=100, warmup=0, decay="constant")) == 1


def test_previews_are_spread_over_the_steps_and_one_is_at_the_end():
    due = [step for step in range(1, 101) if is_preview_due(step, 100, 3)]
    assert due == [34, 67, 100]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_words_learn_at_their_own_rate(optimizer):
    network = nn.ModuleDict({"network": nn.Linear(8, 8), "text": nn.Linear(8, 8)})
    plan = Denoiser(optimizer=optimizer, learning_rate=1e-2, words_rate=0.25, weight_decay=0)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    for one in build(network, plan):
        one.step()
    moved = {name: (parameter - before[name]).norm().item() for name, parameter in network.named_parameters()}
    assert moved["text.weight"] == pytest.approx(moved["network.weight"] / 4, rel=0.01)
    assert moved["text.bias"] == pytest.approx(moved["network.bias"] / 4, rel=0.01)


def test_muon_orthogonalises_what_it_adds():
    matrices = torch.randn(3, 32, 16, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices).float())
    assert values.min() > 0.3
    assert values.max() < 1.3
    weight = nn.Parameter(torch.zeros(16, 4, 3, 3))
    weight.grad = torch.randn(16, 4, 3, 3)
    Muon([weight], lr=0.1).step()
    assert torch.linalg.svdvals(weight.detach().flatten(1)).max() == pytest.approx(0.1 * 0.2 * 6, rel=0.35)


def test_what_a_kill_left_of_a_checkpoint_is_removed(tmp_path):
    left = tmp_path / ".step-00000007.safetensors.partial"
    left.write_bytes(b"half of one")
    train(tmp_path, stage(), steps=5)
    assert not left.exists()


def test_a_checkpoint_that_is_broken_takes_the_place_of_no_good_one(tmp_path):
    state = fresh()
    broken = tmp_path / "step-00000009.safetensors"
    broken.write_bytes(b"of a disk that fails")
    folder = RunFolder(tmp_path, Run(keep=1), leads=True)
    for state.step in (3, 5):
        folder.keep(state)
    assert folder.restore(state)
    assert state.step == 5
    assert [path.name for path in folder.checkpoints()] == [broken.name, "step-00000005.safetensors"]


def test_a_full_disk_is_told_of_as_one_while_curves_are_closed(tmp_path):
    folder = RunFolder(tmp_path, Run(), leads=True)
    folder.log(1, {"loss": 1.0, "pixels": 1.0})
    (events,) = (tmp_path / "tensorboard").iterdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (events.stat().st_size, before[1]))
    try:
        with pytest.raises(StorageError, match="the disk is full"), closing(folder):
            folder.log(2, {"loss": 1.0, "pixels": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
