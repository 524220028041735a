"""What tells files from others: hashes over all their bytes, each computed once as long as the file stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from sfumato.checkpoints.folder import PARTS, kind, present
from sfumato.checkpoints.language import PART
from sfumato.errors import CheckpointError


def fingerprint(path: Path) -> str:
    """A hash over the weights and configurations of a model's parts, 16 hex digits; its training does not matter.

    A language model in a model for pictures changes none of them, and is left out. Of a model that is one file, over
    the file.
    """
    if path.is_file():
        return sha256(path)[:16]
    every = [name for each in PARTS for name in present(path, each)]
    painting = [name for name in every if kind(name) != PART]
    parts = sorted((*(painting or every), "scheduler", "tokenizer", "tokenizer_2", "tokenizer_3"))
    return hash_of((f"{part}/{file.name}", file) for part in parts for file in _files(path / part))


def hash_of(files: Iterable[tuple[str, Path]]) -> str:
    """A hash over the names and contents of files, 16 hex digits."""
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(name.encode())
        digest.update(bytes.fromhex(sha256(path)))
    return digest.hexdigest()[:16]


def sha256(path: Path) -> str:
    """Of a file's bytes, or of the names and bytes of the files that lie in a folder: 64 hex digits."""
    if path.is_dir():
        digest = hashlib.sha256()
        for file in _files(path):
            digest.update(f"{file.name} {sha256(file)}\n".encode())
        return digest.hexdigest()
    if path.exists() and not path.is_file():  # a recipe may come from anyone; a pipe or a device has no end
        raise CheckpointError(f"{path} is no file that can be read whole.")
    try:
        stat = path.stat()
        return _hashed(path.resolve(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=4096)
def _hashed(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.*") if path.is_file())
