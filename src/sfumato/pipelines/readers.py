"""The tokenizers that belong to the text encoders of a model, also where its files hold none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

from sfumato.checkpoints.folder import class_of, kind
from sfumato.checkpoints.hub import cache_folder, cached
from sfumato.data.t5_tokens import T5Tokenizer
from sfumato.data.tokens import CLIP_SIZE, END, Tokenizer
from sfumato.errors import CheckpointError
from sfumato.networks.clip import TextConfig
from sfumato.pipelines.package import Package

# repositories of the hub with the tokenizer that all T5s of version 1.1 share
T5S = (
    ("google/t5-v1_1-xxl", ""),
    ("stabilityai/stable-diffusion-3-medium-diffusers", "tokenizer_3"),
    ("stabilityai/stable-diffusion-3.5-medium", "tokenizer_3"),
    ("stabilityai/stable-diffusion-3.5-large", "tokenizer_3"),
    ("black-forest-labs/FLUX.1-dev", "tokenizer_2"),
    ("black-forest-labs/FLUX.1-schnell", "tokenizer_2"),
    ("PixArt-alpha/PixArt-XL-2-1024-MS", "tokenizer"),
)


class WithoutT5(UserWarning):
    """A model that could hear T5 goes without."""


class Readers(NamedTuple):
    """The parts that can be read, and the tokenizers by the names of their sub-folders."""

    parts: list[str]
    tokenizers: dict[str, Tokenizer]
    t5_tokenizers: dict[str, T5Tokenizer]


def tokenizer_of(encoder: str) -> str:
    """The sub-folder of the tokenizer that belongs to a text encoder."""
    return encoder.replace("text_encoder", "tokenizer")


def readers(package: Package, parts: Sequence[str]) -> Readers:
    """The tokenizers of the parts of a model.

    Where there is no folder of one, CLIP's own is taken, padded as OpenAI's or OpenCLIP's encoders are, and T5's from
    the cache of the hub. A T5 without one is left out, with a warning, if the model can go without.
    Raises CheckpointError where that is not possible, saying what to do.
    """
    found = Readers(list(parts), {}, {})
    for name in sorted(name for name in parts if kind(name) == "text_encoder"):
        reader = reader_of(package, name)
        if isinstance(reader, Tokenizer):
            found.tokenizers[tokenizer_of(name)] = reader
        elif reader is not None:
            found.t5_tokenizers[tokenizer_of(name)] = reader
        elif name in package.family.needed:
            raise CheckpointError(f"{package.path}: {_no_t5(name)}")
        else:
            warnings.warn(WithoutT5(f"{_no_t5(name)} It goes without."), stacklevel=2)
            found.parts.remove(name)
    if not found.tokenizers and not found.t5_tokenizers:
        found.tokenizers["tokenizer"] = Tokenizer.load(package.path / "tokenizer")
    return found


def reader_of(package: Package, name: str) -> Tokenizer | T5Tokenizer | None:
    """The tokenizer of one text encoder; None for a T5 of which none is here.

    Raises CheckpointError when it is broken, or neither in the files nor CLIP's own.
    """
    t5 = class_of(package.parts[name].config(), name) == "T5EncoderModel"
    return _t5(package, tokenizer_of(name)) if t5 else _clip(package, name, tokenizer_of(name))


def _clip(package: Package, name: str, reader: str) -> Tokenizer:
    if reader in package.tokenizers:
        return Tokenizer.load(package.tokenizers[reader])
    config = TextConfig.from_dict(package.parts[name].config())
    if config.vocab_size != CLIP_SIZE:
        raise CheckpointError(
            f"{package.path} has no {reader}, and its {name} knows {config.vocab_size} tokens, not CLIP's {CLIP_SIZE}; "
            "name a model that has it by --base MODEL."
        )
    return Tokenizer.clip("!" if config.hidden_act == "gelu" else END)


def _t5(package: Package, reader: str) -> T5Tokenizer | None:
    if reader in package.tokenizers:
        return T5Tokenizer.load(package.tokenizers[reader])
    for repository, sub_folder in T5S:
        snapshot = cached(repository)
        if snapshot and any((snapshot / sub_folder / file).is_file() for file in ("tokenizer.json", "spiece.model")):
            return T5Tokenizer.load(snapshot / sub_folder)
    return None


def _no_t5(name: str) -> str:
    return (
        f"The {name} is a T5, whose tokenizer is in no single file, nor in {cache_folder()}. Name a model folder that "
        f"has it by --base MODEL, or fetch it: hf download {T5S[0][0]} tokenizer_config.json spiece.model"
    )
