"""The lines of curl that the README and the documentation show do what they say."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HERE = "http://127.0.0.1:7860"


def lines(name):
    """The commands of a page that begin with curl, each as one line."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
            if line.startswith("curl ")]  # fmt: skip


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize(("name", "count"), [("README.md", 2), ("docs/serving.md", 3)])
def test_every_line_is_answered(address, tmp_path, name, count):
    shown = lines(name)
    assert len(shown) == count
    id = ""
    for line in shown:
        assert HERE in line
        command = line.replace(HERE, address).replace("/ID/", f"/{id}/").replace("curl ", "curl -f ", 1)
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stderr)
        if line.startswith("curl -s ") and done.stdout:
            id = json.loads(done.stdout).get("id", "")
    if "-o picture.png" in shown[-1]:
        assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
