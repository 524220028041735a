"""Which file holds the weights of a part: its names in diffusers and transformers, whole or in shards, and variants."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from sfumato.checkpoints.pickled import SUFFIXES, Pickled
from sfumato.checkpoints.tensors import Safetensors, Sharded, Source
from sfumato.errors import CheckpointError

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")  # diffusers, transformers, transformers' pickles
PREFERRED = ("", "fp32", "bf16", "fp16")  # variants, "" for the plain file; others must be named
FOREIGN = (".msgpack", ".h5", ".onnx", ".gguf", ".ot", ".pb", ".xml")  # weights of other libraries

NAME = re.compile(
    rf"(?P<stem>{'|'.join(STEMS)})(?:\.(?P<before>[\w-]+?))?(?P<shard>-\d+-of-\d+)?"
    r"\.(?P<format>safetensors|bin)(?P<index>\.index(?:\.(?P<after>[\w-]+))?\.json)?"
)


def open_weights(folder: Path, variant: str | None = None) -> Source:
    """The weights of a part of a model folder, not yet read.

    Safetensors go before pickles, the plain file before variants (`model.fp16.safetensors`), one file before shards.

    Args:
        folder: of the part.
        variant: the one to take, "" for the plain file; by default the first there is of `PREFERRED`.

    Raises CheckpointError when there is none, saying what there is, or when the file is broken.
    """
    return open_source(choose(folder, variant))


def open_source(path: Path) -> Source:
    """A file of weights by its name: safetensors, an index of several, or a pickle that holds nothing but weights."""
    if path.suffix == ".json":
        return Sharded(path, Pickled if ".bin.index." in path.name else Safetensors)
    return Pickled(path) if path.suffix in SUFFIXES else Safetensors(path)


def choose(folder: Path, variant: str | None = None) -> Path:
    """The file that holds the weights of a part, or the index of several; see `open_weights`."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error.strerror or error}") from error
    if chosen := chosen_of(names, variant):
        return folder / chosen
    found = {match["before"] or match["after"] or "" for name in names if (match := NAME.fullmatch(name))}
    if found:
        there = ", ".join(each or "the plain one" for each in sorted(found))
        wanted = "known by itself" if variant is None else repr(variant)
        raise CheckpointError(f"{folder} has no weights of a variant {wanted}; name one of: {there}.")
    foreign = [name for name in names if name.endswith(FOREIGN)]
    hint = f" {foreign[0]} is of another library; save it as safetensors." if foreign else ""
    raise CheckpointError(
        f"{folder / STEMS[0]}.safetensors is missing, as is {STEMS[1]}.safetensors: "
        f"this is not a complete model folder.{hint}"
    )


def chosen_of(names: Iterable[str], variant: str | None = None) -> str | None:
    """Of the names of a folder's files, the one to read; None when none holds weights."""
    wanted = PREFERRED if variant is None else (variant,)
    ranked = []
    for name in names:
        match = NAME.fullmatch(name)
        if match is None or (match["shard"] and not match["index"]):
            continue
        kind = (match["after"] if match["index"] else match["before"]) or ""
        if kind in wanted:
            order = match["format"] != "safetensors", wanted.index(kind), bool(match["index"])
            ranked.append((order, STEMS.index(match["stem"]), name))
    return min(ranked)[-1] if ranked else None


def files_of(names: Iterable[str], variant: str | None = None) -> list[str]:
    """Of the names of a folder's files, the one to read, or the index with all its shards; none when there are none."""
    names = list(names)
    chosen = chosen_of(names, variant)
    index = NAME.fullmatch(chosen or "")
    if chosen is None or index is None or not index["index"]:
        return [chosen] if chosen else []
    shards = [match for name in names if (match := NAME.fullmatch(name)) and match["shard"] and not match["index"]]
    kind = index["stem"], index["after"], index["format"]
    return [chosen, *(match[0] for match in shards if (match["stem"], match["before"], match["format"]) == kind)]
