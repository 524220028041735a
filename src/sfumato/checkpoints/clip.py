"""A whole CLIP as transformers publishes it: one folder whose `config.json` describes both halves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.folder import network_of
from sfumato.checkpoints.tensors import Entry, Source
from sfumato.checkpoints.weights import open_weights
from sfumato.errors import CheckpointError
from sfumato.networks.clip import ImageConfig, TextConfig

# the table of each half in the configuration, its class, and how the names of its tensors begin
HALVES: dict[str, tuple[str, type[ImageConfig] | type[TextConfig], str, tuple[str, ...]]] = {
    "image_encoder": (
        "vision_config",
        ImageConfig,
        "CLIPVisionModelWithProjection",
        ("vision_model.", "visual_projection."),
    ),
    "text_encoder": ("text_config", TextConfig, "CLIPTextModelWithProjection", ("text_model.", "text_projection.")),
}


def is_whole_clip(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is that of a `CLIPModel`, with both halves."""
    return config.get("model_type") == "clip" and isinstance(config.get("vision_config"), Mapping)


def load_half(folder: Path, half: str, device: str = "cpu") -> nn.Module:
    """The "image_encoder" or the "text_encoder" of a `CLIPModel`, in float32 and evaluation mode.

    Of the half's own table what shapes the network is read; the rest of it belongs to transformers.
    Raises CheckpointError when it is no such folder, or its weights do not fit.
    """
    path = folder / "config.json"
    config = read_json(path)
    key, kind, architecture, prefixes = HALVES[half]
    told = config.get(key)
    if not is_whole_clip(config) or not isinstance(told, Mapping):
        raise CheckpointError(f"{path} is not of a whole CLIP: it has no table {key!r}.")
    known = {field.name for field in fields(kind)}
    described = {name: value for name, value in told.items() if name in known}
    described |= {"architectures": [architecture], "projection_dim": config.get("projection_dim", 512)}
    return network_of(half, described, Half(open_weights(folder), prefixes), torch.float32, device, path)


class Half:
    """The tensors of a source whose names begin with one of `prefixes`, without tables of positions."""

    def __init__(self, source: Source, prefixes: tuple[str, ...]):
        self.source, self.path, self.metadata = source, source.path, source.metadata
        self.entries: Mapping[str, Entry] = {
            name: entry
            for name, entry in source.entries.items()
            if name.startswith(prefixes) and not name.endswith("position_ids")
        }

    def get(self, name: str) -> Tensor:
        """Reads one."""
        return self.source.get(name)
