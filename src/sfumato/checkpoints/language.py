"""A language model's folder: the part `language_model` of a model, or a folder of transformers by itself."""

from __future__ import annotations

from pathlib import Path

import torch

from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.folder import has_part, network_of, save_part
from sfumato.checkpoints.tensors import Source
from sfumato.checkpoints.weights import open_weights
from sfumato.errors import CheckpointError
from sfumato.networks.gpt import GPT

PART = "language_model"
TABLES, HEAD = ("wte.weight", "embed_tokens.weight"), "lm_head.weight"


def language_folder(folder: Path) -> Path:
    """The folder that holds `config.json` and weights: the part of a model, or the folder itself.

    Raises CheckpointError when it is neither.
    """
    if has_part(folder, PART):
        return folder / PART
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} holds no language model: neither config.json, as transformers writes it, nor the part {PART}. "
            "Train one: sfumato train TEXT --recipe gpt"
        )
    return folder


def load_language_model(
    folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu", variant: str | None = None
) -> GPT:
    """Read a GPT-2 or a Llama from a model folder of ours or of transformers, whole or in shards.

    `variant` is that of its weights. Raises CheckpointError naming the file and the keys when something is missing,
    surplus, of another shape or not finite, or the configuration is not supported.
    """
    path = language_folder(folder)
    source = open_weights(path, variant)
    network: GPT = network_of(PART, read_json(path / "config.json"), source, dtype, device, path / "config.json")
    if network.config.tie_word_embeddings:
        _require_same(source)
    return network


def save_language_model(folder: Path, network: GPT, dtype: torch.dtype = torch.float32) -> None:
    """Write a folder as transformers has it, all or nothing: configuration and weights."""
    save_part(folder.parent, folder.name, network, dtype)


def _require_same(source: Source) -> None:
    """Refuse a file whose two tables differ where its configuration says that they are one."""
    if HEAD not in source.entries:
        return
    table = next((name for name in source.entries if name.endswith(TABLES)), None)
    if table is not None and not torch.equal(source.get(HEAD), source.get(table)):
        raise CheckpointError(
            f"{source.path}: {HEAD} should be the same as {table}, since the configuration ties them, and is not."
        )
