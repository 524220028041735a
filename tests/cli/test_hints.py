"""Pictures that steer, as people type them."""

import numpy as np
import pytest
from PIL import Image

import tiny_models
from sfumato.cli.hints import control, like
from sfumato.errors import PromptError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("edges=a.png", {}),
        ("edges=a.png:0.8", {"scale": 0.8}),
        ("edges=a.png:-1", {"scale": -1.0}),
        ("edges=a.png:0.2-0.5", {"start": 0.2, "end": 0.5}),
        ("edges=a.png:0.8:0-0.5:guess", {"scale": 0.8, "start": 0.0, "end": 0.5, "guess": True}),
        ("edges=a.png:guess", {"guess": True}),
    ],
)
def test_a_control_is_a_network_a_picture_and_how(text, expected):
    assert control(text) == {"network": "edges", "picture": "a.png", **expected}


def test_colons_and_equals_signs_of_paths_stay_with_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert like("C:/ip.safetensors=D:/a.png:0.5") == {
        "adapter": "C:/ip.safetensors", "pictures": ["D:/a.png"], "scale": 0.5
    }  # fmt: skip
    assert like("ip=a:b.png") == {"adapter": "ip", "pictures": ["a:b.png"]}
    (tmp_path / "a=b").mkdir()
    (tmp_path / "c=d.png:0.5").touch()
    assert control("a=b=c=d.png:0.5") == {"network": "a=b", "picture": "c=d.png:0.5"}
    assert control("a=b=c=d.png:0.5:0.7") == {"network": "a=b", "picture": "c=d.png:0.5", "scale": 0.7}


@pytest.mark.parametrize("text", ["edges", "=a.png", "edges=", "edges=a.png:1.2.3"])
def test_what_is_no_control_is_refused(text):
    with pytest.raises(PromptError, match="--control"):
        control(text)


def test_a_steered_picture_is_made_and_replayed(sfumato, tmp_path):
    theirs = tiny_models.stable(tmp_path)
    theirs.save_pretrained(tmp_path / "model")
    tiny_models.controlnet(theirs.unet).save_pretrained(tmp_path / "edges")
    tiny_models.ip_adapter(tmp_path / "ip" / "ip.safetensors", theirs.unet)
    tiny_models.image_encoder().save_pretrained(tmp_path / "ip" / "image_encoder")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "edges.png")
    asked = ["generate", "a photo of a cat", "--model", "model", "--steps", 2, "--seed", 1, "--device", "cpu"]
    steered = ["--control", "edges=edges.png:0.8:0-0.5", "--like", "ip/ip.safetensors=edges.png:0.7"]
    made = sfumato(*asked, *steered)
    assert made.returncode == 0, made.stderr
    assert "the same pixels" in sfumato("replay", made.stdout.strip()).stdout
    free = sfumato(*asked)
    first, second = (Image.open(tmp_path / done.stdout.strip()).tobytes() for done in (made, free))
    assert first != second
    refused = sfumato(*asked, "--control", "edges=none.png")
    assert refused.returncode == 2
    assert "no picture none.png" in refused.stderr
