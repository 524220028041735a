"""Two processes train as one."""

import json
import os
import subprocess
import sys

import pytest

from sfumato.training.recipe import STAGES


def losses(folder, stage):
    lines = (folder / "run" / stage / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_two_processes_train_the_digits_to_the_losses_of_one(tmp_path, run, command):
    alone, together = tmp_path / "alone", tmp_path / "together"
    settings = [f"{stage}.steps=10" for stage in STAGES]
    assert run("digits", alone, settings=settings).returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    rest = command("digits", together, settings=settings)[2:]
    done = subprocess.run(
        torchrun + rest, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240
    )
    assert done.returncode == 0, done.stderr
    for stage in STAGES:
        assert losses(together, stage) == pytest.approx(losses(alone, stage), rel=2e-3), stage
