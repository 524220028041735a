"""Small random networks, written to and read from folders by both sides."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def read(tmp_path: Path):
    """Saves a reference model and opens the folder with our class."""

    def read(reference: Any, network: type, config: type) -> torch.nn.Module:
        reference.save_pretrained(tmp_path)
        (weights,) = tmp_path.glob("*.safetensors")
        ours = network(config.from_dict(json.loads((tmp_path / "config.json").read_text())))
        ours.load_state_dict(load_file(weights), strict=True)
        return ours.eval()

    return read


@pytest.fixture
def write(tmp_path: Path):
    """Saves our network and opens the folder with the reference's class."""

    def write(ours: Any, reference: type, name: str = "diffusion_pytorch_model") -> Any:
        folder = tmp_path / "ours"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(ours.config.to_dict()))
        state = {key: value.contiguous() for key, value in ours.state_dict().items()}
        save_file(state, folder / f"{name}.safetensors", metadata={"format": "pt"})
        opened, report = reference.from_pretrained(folder, output_loading_info=True)
        assert not report["missing_keys"]
        write.unexpected = set(report["unexpected_keys"])
        return opened.eval()

    return write
