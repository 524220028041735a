"""A recipe small enough to train whole models in tests."""

import subprocess
import sys

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
