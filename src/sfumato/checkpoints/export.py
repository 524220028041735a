"""A model for other programs: as a folder that diffusers opens, or as one file of the original layouts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sfumato.checkpoints.families import family_of
from sfumato.checkpoints.files import LARGEST_JSON, read_json, whole_folder, write_json
from sfumato.checkpoints.folder import PARTS, class_of, load_lineage, present, stem_of
from sfumato.checkpoints.single.renaming import Source
from sfumato.checkpoints.single.sources import Listed
from sfumato.checkpoints.single.writing import REST, write_single_file, write_streamed
from sfumato.checkpoints.tensors import Safetensors
from sfumato.checkpoints.weights import open_weights
from sfumato.errors import CheckpointError

LARGEST_SHARD = 10 * 10**9  # bytes of weights in one file, as diffusers writes them
BESIDE = ("tokenizer", "tokenizer_2", "tokenizer_3", "scheduler", "low_res_scheduler", "feature_extractor")
KEPT = (".json", ".txt", ".model", ".md")  # of what is no weights; never code, never pickles


@dataclass(frozen=True)
class Cast:
    """Another source whose floating numbers are of another type; CheckpointError where one is too large for it."""

    source: Source
    to: torch.dtype

    def names(self) -> Iterable[str]:
        return self.source.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.source.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        dtype = self.source.dtype(name)
        return self.to if dtype.is_floating_point else dtype

    def get(self, name: str) -> Tensor:
        tensor = self.source.get(name)
        made = tensor.to(self.dtype(name))
        if made.dtype != tensor.dtype and not bool(made.isfinite().all()):
            raise CheckpointError(f"{name} has numbers that {self.to} cannot hold; take --dtype bfloat16 or float32.")
        return made


@dataclass(frozen=True)
class Some:
    """Some tensors of a source."""

    source: Source
    chosen: tuple[str, ...]

    def names(self) -> Iterable[str]:
        return self.chosen

    def shape(self, name: str) -> tuple[int, ...]:
        return self.source.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        return self.source.dtype(name)

    def get(self, name: str) -> Tensor:
        return self.source.get(name)


def weights_of(folder: Path, part: str, dtype: torch.dtype | None = None) -> Source:
    """The tensors of a part of a model folder, not yet read; as they are, or in another type."""
    source = Listed(open_weights(folder / part))
    return Cast(source, dtype) if dtype else source


def parts_of(folder: Path) -> list[str]:
    """Every part of a model folder that is known here."""
    return [name for each in PARTS for name in present(folder, each)]


def export_folder(folder: Path, out: Path, dtype: torch.dtype | None = None, shard: int = LARGEST_SHARD) -> None:
    """Write a model folder anew, all or nothing, one tensor in memory at a time.

    Its parts, tokenizers and schedulers are there under their names, as safetensors, in files of at most `shard` bytes;
    what the index names and is not known here, such as a safety checker, is left out, and the index says so.

    Args:
        folder: of the model.
        out: the new folder.
        dtype: of the weights; None keeps theirs, and then they are equal to the byte.
        shard: bytes of weights in one file; those beyond it stand in further files that an index ties together.
    """
    index, kept = read_json(folder / "model_index.json"), {*parts_of(folder)}
    with whole_folder(out) as temporary:
        for part in sorted(kept):
            (temporary / part).mkdir()
            copy_texts(folder / part, temporary / part)
            config = read_json(folder / part / "config.json")
            stem = stem_of(class_of(config, part))
            write_shards(temporary / part, stem, weights_of(folder, part, dtype), shard)
        kept |= copy_beside(folder, temporary)
        for name, value in index.items():
            if isinstance(value, list) and len(value) == 2 and name not in kept:
                index[name] = [None, None]
        write_json(temporary / "model_index.json", index)


def copy_beside(folder: Path, out: Path) -> set[str]:
    """Copy tokenizers, schedulers, licences and, of our models, `sfumato.json`; gives the names of the sub-folders."""
    there = {name for name in BESIDE if (folder / name).is_dir()}
    for name in sorted(there):
        (out / name).mkdir()
        copy_texts(folder / name, out / name)
    for name in ("README.md", "LICENSE", "LICENSE.md", "NOTICE"):
        if (folder / name).is_file():
            _copy(folder / name, out / name)
    if lineage := load_lineage(folder):  # models without one are not ours, and have their own family's habits
        write_json(out / "sfumato.json", lineage)
    return there


def copy_texts(folder: Path, out: Path) -> None:
    """Copy a part's small files that are no weights, nor an index of weights."""
    for path in sorted(folder.iterdir()):
        if path.suffix in KEPT and path.is_file() and ".index." not in path.name:
            _copy(path, out / path.name)


def _copy(path: Path, to: Path) -> None:
    if path.stat().st_size > 4 * LARGEST_JSON:
        raise CheckpointError(f"{path} is larger than any file of its kind should be; it was not copied.")
    shutil.copyfile(path, to)


def write_shards(folder: Path, stem: str, source: Source, largest: int = LARGEST_SHARD) -> None:
    """Write tensors as `stem.safetensors`, or as several of at most `largest` bytes and an index that names them."""
    shards = list(_shards(source, largest))
    if len(shards) < 2:
        write_streamed(folder / f"{stem}.safetensors", source)
        return
    places: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"{stem}-{number:05d}-of-{len(shards):05d}.safetensors"
        write_streamed(folder / file, Some(source, tuple(names)))
        places |= dict.fromkeys(names, file)
    total = sum(_bytes(source, name) for name in places)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    write_json(folder / f"{stem}.safetensors.index.json", index)


def _shards(source: Source, largest: int) -> Iterator[list[str]]:
    names: list[str] = []
    room = largest
    for name in sorted(source.names()):
        size = _bytes(source, name)
        if names and size > room:
            yield names
            names, room = [], largest
        names.append(name)
        room -= size
    yield names


def _bytes(source: Source, name: str) -> int:
    return source.dtype(name).itemsize * torch.Size(source.shape(name)).numel()


def export_single(folder: Path, out: Path, dtype: torch.dtype | None = None) -> list[str]:
    """Write what makes pictures in a model folder as one file of its family's original layout, all or nothing.

    Gives the parts that are not in it: they have no place there, as tokenizers have none.

    Raises:
        CheckpointError: there is no such layout, or its readers would take the model for another; it says why.
    """
    family = family_of(folder)
    every = parts_of(folder)
    core = [name for name in every if name in (*family.needed, *family.optional)]
    core += [name for each in family.needed for name in present(folder, each)[1:]]
    configs = {name: read_json(folder / name / "config.json") for name in core}
    for name, config in configs.items():
        if name not in ("text_encoder", "text_encoder_2", "text_encoder_3"):
            config["_class_name"] = class_of(config, name)
        elif not config.get("architectures"):
            config["architectures"] = [class_of(config, name)]
    parts: Mapping[str, Source] = {name: weights_of(folder, name, dtype) for name in core}
    rest = Listed(Safetensors(folder / REST)) if (folder / REST).is_file() else None
    path = folder / "scheduler" / "scheduler_config.json"
    write_single_file(out, parts, configs, read_json(path), rest)
    return [name for name in every if name not in core]
