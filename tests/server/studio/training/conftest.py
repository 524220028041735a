"""A training that only pretends: it begins, tells of steps, and ends when it is told to."""

import sys
import textwrap

import pytest

PRETENDED = """
    import json, signal, sys, time
    from pathlib import Path

    out = next(Path(word[6:]) for word in sys.argv if word.startswith("--out="))
    data = sys.argv[-1]
    if "--estimate" in sys.argv:
        if data == "slow":
            (out.parent / "began").touch()
            time.sleep(60)
        if data == "bad":
            sys.exit("There is nothing in it.")
        stages = [{"name": "clip", "size": "tiny", "steps": 150, "preparing": 0.5, "seconds": 75.0}]
        told = {"samples": 40, "set_aside": 2, "stages": stages, "seconds": 80.0, "memory": 2**30, "device_memory": 0,
                "free_memory": 2**31, "free_disk": 2**33}
        print(json.dumps(told))
        sys.exit()
    run = out / "run"
    stopped = []
    signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
    print("It begins.", flush=True)
    (run / "recipe.json").write_text("{}")
    if data == "bad":
        sys.exit("There is nothing in it.")
    while not stopped and not (run / "enough").exists():
        time.sleep(0.02)
    if stopped:
        print("Stopped.")
        sys.exit(130)
    (out / "model_index.json").write_text("{}")
"""


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """In the place of the command `sfumato`."""
    script = tmp_path / "pretended.py"
    script.write_text(textwrap.dedent(PRETENDED))
    monkeypatch.setattr("sfumato.server.studio.training.asked.COMMAND", (sys.executable, "-S", str(script)))
