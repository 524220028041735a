"""Tensors that are computed once and kept in the run folder, until what they were computed from changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from sfumato.checkpoints.files import write_tensors
from sfumato.checkpoints.tensors import read_metadata, read_tensors
from sfumato.training.workshop import PictureWorkshop


def kept(workshop: PictureWorkshop, name: str, parts: Sequence[str], compute: Callable[[], Tensor]) -> Tensor:
    """The tensor `name`, which depends on the pictures and on these parts of the model folder."""
    path = workshop.cache / f"{name}.safetensors"
    key = _key(workshop, parts)

    def work() -> Tensor:
        if not (path.is_file() and read_metadata(path).get("key") == key):
            write_tensors(path, {name: compute()}, {"key": key})
        return read_tensors(path)[name]

    return workshop.team.first_the_leader(work)


def _key(workshop: PictureWorkshop, parts: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{workshop.store.fingerprint} {workshop.recipe.data}".encode())
    for part in parts:
        for path in sorted((workshop.folder / part).iterdir()):
            digest.update(_hash(path))
    return digest.hexdigest()


def _hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
