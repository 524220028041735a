"""Settings for all tests: no network, no time limits on a noisy machine, and a share of the cores for each worker."""

import os
import subprocess

import pytest
from hypothesis import settings

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:  # before torch is there, and for the processes that tests start
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
os.environ["HF_HUB_OFFLINE"] = "1"  # the reference libraries look at folders only
settings.register_profile("sfumato", deadline=None)
settings.load_profile("sfumato")

TINY_VECTORS = [
    "data.size=16",
    "data.length=12",
    "data.vocabulary=540",
    "vectors.length=24",
    "vectors.channels=[8, 16]",
    "vectors.text_width=64",
    "vectors.text_layers=1",
    "vectors.steps=30",
    "vectors.batch=8",
    "prior.width=16",
    "prior.layers=1",
    "prior.steps=30",
    "prior.batch=8",
    "upsampler.channels=[8, 16]",
    "upsampler.steps=3",
    "upsampler.batch=4",
    "run.previews=1",
    "run.precision='float32'",
]


@pytest.fixture(scope="session")
def tiny_vectors():
    """Settings over the recipe `vectors` with which a whole model trains in seconds."""
    return list(TINY_VECTORS)


@pytest.fixture
def sfumato(monkeypatch, capsys, tmp_path):
    """Runs a command as it is typed in the folder of the test, and gives what a process would.

    It runs in this process: one of its own takes seconds to read its libraries, and tells little more.
    """
    from sfumato.cli.main import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        typed = ["sfumato", *map(str, arguments)]
        monkeypatch.setattr("sys.argv", typed)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        return subprocess.CompletedProcess(typed, left.value.code or 0, told.out, told.err)

    return run
