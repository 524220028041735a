"""What the share of a device's rate is measured by: `benchmarks/scene_rates.py`."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sfumato.training.team import Team

FILE = Path(__file__).parents[2] / "benchmarks" / "scene_rates.py"


@pytest.fixture
def rates():
    spec = importlib.util.spec_from_file_location("scene_rates", FILE)
    rates = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rates)
    return rates


class Products(TorchDispatchMode):
    """Notes of which type the matrices are that are multiplied."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.mm.default:
            self.types.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_measure_is_a_product_in_the_precision_that_the_team_trains_in(rates, monkeypatch, bfloat16):
    monkeypatch.setitem(rates.SIDE, "cpu", 8)
    team = Team(bfloat16=bfloat16)
    with Products() as measured:
        assert rates.matrix_rate(team) > 0
    with Products() as trained, team.autocast():
        torch.ones(2, 2) @ torch.ones(2, 2)
    assert measured.types == trained.types == {torch.bfloat16 if bfloat16 else torch.float32}
