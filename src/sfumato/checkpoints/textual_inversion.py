"""Textual inversion: files that teach a text encoder a word, by a vector or several (Gal et al. 2022).

A1111's `.pt` and `.safetensors`, diffusers' `learned_embeds`, and Stable Diffusion XL's with a vector for each of two
text encoders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.checkpoints.files import write_tensors
from sfumato.checkpoints.pickled import SUFFIXES, unpickled
from sfumato.checkpoints.tensors import read_tensors
from sfumato.errors import CheckpointError

LARGEST = 64 * 2**20  # bytes; a word of 77 vectors of the widest encoder takes two
MOST_VECTORS = 77
CONVERT = (
    'If you trust where it is from, convert it, which runs what is in it: python -c "import torch, safetensors.torch; '
    "t = torch.load('OLD', weights_only=False)['string_to_param']['*']; "
    "safetensors.torch.save_file({'emb_params': t.detach().contiguous()}, 'NEW.safetensors')\""
)
IN_FOLDER = ("learned_embeds.safetensors", "learned_embeds.bin")
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

XL = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
"""The names that Stable Diffusion XL's files have for the two text encoders."""


@dataclass(frozen=True)
class Embedding:
    """A word and, for each text encoder by its name as a part, the vectors (n, d) that stand for it."""

    word: str
    vectors: Mapping[str, Float[Tensor, "n d"]]

    def __len__(self) -> int:
        return len(next(iter(self.vectors.values())))

    def fitting(self, part: str, width: int) -> Float[Tensor, "n d"]:
        """The vectors for a text encoder; CheckpointError when it has none, or of another width."""
        if part not in self.vectors:
            raise CheckpointError(
                f"The embedding {self.word!r} has vectors for {', '.join(self.vectors)} alone, this model also has a "
                f"{part}: it was made for another kind of model."
            )
        vectors = self.vectors[part]
        if vectors.shape[1] != width:
            raise CheckpointError(
                f"The embedding {self.word!r} has vectors of {vectors.shape[1]} numbers, the {part} has {width}: it "
                "was made for another kind of model."
            )
        return vectors


def read_embedding(path: Path, word: str | None = None) -> Embedding:
    """Read a file of one embedding, or diffusers' folder of one; `word` in the place of the file's own.

    A file that names no word is named by its file name, as A1111 does it.

    Raises:
        CheckpointError: the file is not whole, holds something else, or numbers that are not finite; it names the file
            and what is wrong. A pickle that holds more than tensors is never opened.
    """
    if path.is_dir():
        path = next((path / name for name in IN_FOLDER if (path / name).is_file()), path / IN_FOLDER[0])
    if not path.is_file():
        raise CheckpointError(f"There is no embedding {path}.")
    if path.stat().st_size > LARGEST:
        raise CheckpointError(f"{path} is larger than any embedding, {LARGEST:,} bytes; it was not read.")
    content = unpickled(path, CONVERT) if path.suffix in SUFFIXES else read_tensors(path)
    own, vectors = _parted(path, content)
    checked = {part: _checked(path, value) for part, value in vectors.items()}
    if len({len(value) for value in checked.values()}) > 1:
        counts = ", ".join(f"{len(value)} for the {part}" for part, value in checked.items())
        raise CheckpointError(f"{path} has {counts}; a word should have as many vectors for each.")
    return Embedding(own if word is None else word, checked)


def write_embedding(path: Path, embedding: Embedding) -> None:
    """Write an embedding as safetensors, all or nothing: diffusers' layout for one text encoder, XL's for two.

    Raises:
        StorageError: the file could not be written.
    """
    if embedding.vectors.keys() == {"text_encoder"}:
        write_tensors(path, {embedding.word: embedding.vectors["text_encoder"]})
    else:
        write_tensors(path, {name: embedding.vectors[part] for name, part in XL.items() if part in embedding.vectors})


def _parted(path: Path, content: Any) -> tuple[str, dict[str, Any]]:
    """The word of a file, and its tensors by text encoder."""
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not an embedding by name.")
    if "string_to_param" in content:  # A1111's pickle
        inner, name = content["string_to_param"], content.get("name")
        vectors = next(iter(inner.values())) if isinstance(inner, dict) and len(inner) == 1 else None
        return name if isinstance(name, str) else path.stem, {"text_encoder": vectors}
    if content.keys() == {"emb_params"}:
        return path.stem, {"text_encoder": content["emb_params"]}
    if content and content.keys() <= XL.keys():
        return path.stem, {XL[name]: value for name, value in content.items()}
    if len(content) == 1:
        ((name, value),) = content.items()
        return str(name), {"text_encoder": value}
    few = ", ".join(str(name)[:100] for name in [*content][:3])
    raise CheckpointError(f"{path} is no embedding that is known here; it has {few or 'nothing in it'}.")


def _checked(path: Path, vectors: Any) -> Float[Tensor, "n d"]:
    if not isinstance(vectors, Tensor) or vectors.dtype not in FLOATS or vectors.layout != torch.strided:
        what = vectors.dtype if isinstance(vectors, Tensor) else type(vectors).__name__
        raise CheckpointError(f"{path} holds {what} where the vectors of its word should be.")
    vectors = vectors[None] if vectors.ndim == 1 else vectors
    if vectors.ndim != 2 or not 1 <= len(vectors) <= MOST_VECTORS or vectors.nbytes > LARGEST:
        raise CheckpointError(
            f"{path} holds vectors of shape {[*vectors.shape]}; it should be 1 to {MOST_VECTORS} by a width."
        )
    if not vectors.isfinite().all():
        raise CheckpointError(f"{path} holds numbers that are not finite.")
    return vectors.detach().contiguous()
