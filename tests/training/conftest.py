"""A recipe small enough to train whole models in tests."""

import subprocess
import sys
import time

import pytest

TINY = [
    "data.size=16",
    "data.length=12",
    "data.vocabulary=540",
    "autoencoder.channels=[8, 16]",
    "autoencoder.factor=2",
    "autoencoder.steps=24",
    "autoencoder.batch=8",
    "clip.width=64",
    "clip.layers=1",
    "clip.steps=24",
    "clip.batch=8",
    "denoiser.channels=[16, 32]",
    "denoiser.steps=24",
    "denoiser.batch=8",
    "upsampler.channels=[8, 16]",
    "upsampler.steps=24",
    "upsampler.batch=4",
    "vectors.channels=[8, 16]",
    "vectors.batch=8",
    "prior.width=32",
    "prior.batch=8",
    "restorer.channels=[8, 16]",
    "restorer.batch=4",
    "classifier.channels=[8, 16]",
    "classifier.batch=4",
    "run.previews=1",
    "run.log_every=1",
    "run.precision='float32'",
]


@pytest.fixture(scope="session")
def tiny():
    return list(TINY)


@pytest.fixture
def command():
    """The command line of a training, as a person would type it."""

    def arguments(data, out, *more, settings=()):
        sets = [part for setting in (*TINY, *settings) for part in ("--set", setting)]
        return [sys.executable, "-m", "sfumato", "train", str(data), "--out", str(out), *sets, *more]

    return arguments


@pytest.fixture
def run(command):
    def start(data, out, *more, settings=(), **options):
        return subprocess.run(command(data, out, *more, settings=settings), capture_output=True, text=True, **options)

    return start


@pytest.fixture
def weights():
    """What a training leaves in the model folder, by name."""

    def read(folder):
        files = sorted(path for path in folder.glob("*/*") if path.is_file() and path.parent.name != "run")
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read


@pytest.fixture
def kill_in():
    def kill(stage, arguments, out, number):
        """Start a training and send it a signal once the stage has a checkpoint after its tenth step."""
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if any(int(p.stem[5:]) >= 10 for p in (out / "run" / stage).glob("step-*.safetensors")):
                process.send_signal(number)
                break
            time.sleep(0.002)
        _, said = process.communicate(timeout=60)
        return process.returncode, said

    return kill
