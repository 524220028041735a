"""Whatever is done to the files of a model, it loads or is refused: no crash, no hang, no flood of memory."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.parametrize("count", [250, pytest.param(10_000, marks=pytest.mark.slow)])
def test_changed_folders_load_or_are_refused(count):
    command = [sys.executable, FUZZ, "--count", str(count), "--workers", "1" if count < 1000 else "2"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    loaded, refused = (int(re.search(rf"'{verdict}': (\d+)", told.stdout)[1]) for verdict in ("loaded", "refused"))
    assert loaded + refused == count
    assert count / 10 < loaded < count / 2  # changes are neither all blind nor all harmless
