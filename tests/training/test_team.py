"""Two processes train as one."""

import json
import signal
import subprocess
import sys
import time

import pytest

from sfumato.training.ways import WAYS

STAGES = tuple(WAYS["latents"])
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]


def losses(folder, stage):
    lines = (folder / "run" / stage / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_two_processes_train_the_digits_to_the_losses_of_one(tmp_path, run, command):
    alone, together = tmp_path / "alone", tmp_path / "together"
    settings = [f"{stage}.steps=10" for stage in STAGES]
    assert run("digits", alone, settings=settings).returncode == 0
    done = subprocess.run(
        TORCHRUN + command("digits", together, settings=settings)[2:], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    for stage in STAGES:
        assert losses(together, stage) == pytest.approx(losses(alone, stage), rel=2e-3), stage


def test_a_team_that_is_told_to_stop_leaves_a_checkpoint_and_goes_on_from_it(tmp_path, run, command):
    out = tmp_path / "model"
    settings = ["autoencoder.steps=2000", "run.checkpoint_seconds=3600"]
    process = subprocess.Popen(
        TORCHRUN + command("digits", out, settings=settings)[2:], stderr=subprocess.PIPE, text=True
    )
    metrics, deadline = out / "run" / "autoencoder" / "metrics.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.exists() and metrics.read_text().count("\n") > 20):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Run the same command to go on" in said
    newest = max(int(path.stem[5:]) for path in metrics.parent.glob("step-*.safetensors"))
    assert newest > 20  # the only checkpoint due by time is the one at step 0
