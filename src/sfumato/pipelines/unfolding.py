"""A single file as a model folder, with all that the file leaves to its readers to know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sfumato.checkpoints.export import Cast
from sfumato.checkpoints.files import read_json, storage_errors, write_json
from sfumato.checkpoints.folder import kind
from sfumato.checkpoints.hub import INDEX
from sfumato.checkpoints.single.family import naming
from sfumato.checkpoints.single.prediction import said_in
from sfumato.checkpoints.single.sources import Listed
from sfumato.checkpoints.single.writing import write_folder
from sfumato.checkpoints.weights import open_source
from sfumato.data.tokens import Tokenizer
from sfumato.pipelines.package import opened
from sfumato.pipelines.readers import reader_of, tokenizer_of


def unfold(path: Path, folder: Path, dtype: torch.dtype | None = None) -> list[str]:
    """Write the parts of a single file, its scheduler, and the tokenizers of its text encoders as a model folder.

    Gives the tokenizers that are missing since they are not on this machine, as may be with T5's.

    Raises:
        CheckpointError: the file is no model that is known.
    """
    package, source = opened(path), open_source(path)
    listed = Listed(source)
    with naming(path):
        said = said_in(source.metadata) if "unet" in package.parts else None
        write_folder(folder, Cast(listed, dtype) if dtype else listed, prediction=said)
    index, missing = read_json(folder / INDEX), []
    for name in (name for name in package.parts if kind(name) == "text_encoder"):
        reader, tokenizer = tokenizer_of(name), reader_of(package, name)
        if tokenizer is None:
            missing.append(reader)
            continue
        tokenizer.save(folder / reader)
        index[reader] = ["transformers", "CLIPTokenizer" if isinstance(tokenizer, Tokenizer) else "T5TokenizerFast"]
    write_json(folder / INDEX, index)
    return missing


@contextmanager
def as_folder(path: Path, near: Path) -> Iterator[Path]:
    """A model folder as it is, or a single file as one that lies near another path and is gone in the end."""
    if path.is_dir():
        yield path
        return
    with storage_errors(near):
        near.parent.mkdir(parents=True, exist_ok=True)
        temporary = TemporaryDirectory(prefix=f".{near.name}.", dir=near.parent)
    with temporary as place:
        folder = Path(place) / path.stem
        unfold(path, folder)
        yield folder
