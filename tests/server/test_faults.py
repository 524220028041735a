"""A server that is killed while it works, and one whose disk fills up, finish every job that they accepted, once."""

import subprocess
import sys
from pathlib import Path

from small_disk import own_disk

FAULTS = Path(__file__).parent.parent / "faults.py"


def test_killed_servers_with_a_full_disk_finish_every_accepted_job_once(tmp_path):
    faults = [sys.executable, FAULTS, tmp_path, "--kills", "2"]
    small = own_disk(tmp_path, "16m")
    command = [*small, *faults, "--fill"] if small else faults
    seen = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=900).stdout
    assert "each finished once, each as it is made alone" in seen
