"""Folders as people have them: what is broken is named, the rest is trained on."""

import json
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from sfumato.data.tokens import Tokenizer
from sfumato.training import train as training


def bomb(side):
    """A valid, tiny PNG file that claims side x side pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(b"\0" * (side + 1)) for _ in range(100)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def messy_folder(path):
    random = np.random.default_rng(0)
    path.mkdir()
    for i in range(12):
        values = random.integers(0, 255, (24, 20, 3), dtype=np.uint8)
        Image.fromarray(values).save(path / f"good{i:02}.jpg")
        (path / f"good{i:02}.txt").write_text(f"a picture of noise number {i}")
    for name in ("broken", "zero", "bomb", "long", "odd"):
        (path / f"{name}.txt").write_text(f"the {name} one")
    (path / "broken.jpg").write_bytes((path / "good00.jpg").read_bytes()[:200])
    (path / "zero.png").write_bytes(b"")
    (path / "bomb.png").write_bytes(bomb(40_000))
    Image.new("RGB", (30, 30)).save(path / "nocaption.png")
    Image.new("RGB", (30, 30)).save(path / "long.png")
    (path / "long.txt").write_text("word " * 2000)
    Image.new("RGB", (30, 30)).save(path / "odd.png")
    (path / "odd.txt").write_bytes("ein Gemälde".encode("cp1252"))
    return path


def test_a_messy_folder_trains_and_each_bad_file_is_reported_with_its_reason(tmp_path, run):
    steps = [f"{stage}.steps=2" for stage in ("autoencoder", "clip", "denoiser", "upsampler")]
    out = tmp_path / "model"
    done = run(messy_folder(tmp_path / "data"), out, settings=steps)
    assert done.returncode == 0, done.stderr
    problems = {}
    for line in (out / "run" / "problems.jsonl").read_text(encoding="utf-8").splitlines():
        problem = json.loads(line)
        problems[problem["where"].split(".")[0]] = problem
    for name in ("broken", "zero", "bomb", "nocaption"):
        assert not problems[name]["kept"], name
        assert problems[name]["reason"]
    for name in ("long", "odd"):
        assert problems[name]["kept"], name
    assert "too large" in problems["bomb"]["reason"]
    assert "no caption" in problems["nocaption"]["reason"]
    assert "set aside" in done.stderr
    assert json.loads((out / "sfumato.json").read_text())["data"]["pictures"] == 14


def test_a_model_of_ones_own_makes_pictures(tmp_path, tiny):
    out = tmp_path / "model"
    settings = [*tiny, *(f"{stage}.steps=3" for stage in ("autoencoder", "clip", "denoiser", "upsampler"))]
    code = f"""
import sfumato
sfumato.train("digits", {str(out)!r}, settings={settings!r}, quiet=True)
print(sfumato.load({str(out)!r})("a handwritten seven", seed=1, num_inference_steps=2).pictures[0].size)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(32, 32)"
    assert done.stderr == ""


def test_a_training_in_the_folder_of_an_earlier_model_uses_nothing_of_it_and_loses_nothing(tmp_path, tiny, monkeypatch):
    out = tmp_path / "model"
    quick = [*tiny, "clip.steps=1", "denoiser.steps=1", "upsampler.steps=1", "denoiser.patch=2"]
    training.train("digits", out, "pixels", [*quick, "denoiser.experts=[0.5]"], quiet=True)
    shutil.rmtree(out / "run")  # which the messages advise for beginning again
    (out / "language_model").mkdir()  # as a writer that somebody put there
    other = [*quick, "data.length=16", "data.vocabulary=600", "upsampler.factor=1"]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as late:
        late.setattr(training, "save_index", killed)
        with pytest.raises(KeyboardInterrupt):
            training.train("digits", out, "pixels", other, quiet=True)
    training.train("digits", out, "pixels", other, quiet=True)
    tokenizer = Tokenizer.load(out / "tokenizer")
    assert (tokenizer.length, tokenizer.vocab_size > 540) == (16, True)
    told = json.loads((out / "sfumato.json").read_text())
    assert (told["final_size"], told["recipe"]["data"]["length"]) == (16, 16)
    folders = {path.name for path in out.iterdir() if path.is_dir()}
    assert folders == {"run", "tokenizer", "text_encoder", "image_encoder", "unet", "scheduler", "language_model"}
    assert {path.name for path in (out / "run" / "earlier-1").iterdir()} == {"unet_2", "upsampler"}


def test_a_budget_decides_sizes_and_steps_and_is_kept(tmp_path, run):
    out = tmp_path / "model"
    small = ["autoencoder.enough=100000000", "clip.enough=100000000", "denoiser.enough=100000000"]
    done = run("digits", out, "--budget", "8s", settings=[*small, "upsampler.enough=100000000", "autoencoder.batch=2"])
    assert done.returncode == 0, done.stderr
    plans = {path.parent.name: json.loads(path.read_text()) for path in out.glob("run/*/plan.json")}
    assert set(plans) == {"autoencoder", "clip", "denoiser", "upsampler"}
    assert all(plan["size"] == "tiny" and plan["steps"] >= 50 for plan in plans.values())
    assert (out / "model_index.json").exists()
