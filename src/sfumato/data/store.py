"""Pictures decoded once into one memory-mapped file, from which training takes batches by index."""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from sfumato.data.ahead import in_order
from sfumato.data.digits import digits
from sfumato.data.entries import Entry
from sfumato.data.pictures import PictureError, to_tensor
from sfumato.data.report import Report
from sfumato.data.sources import find
from sfumato.errors import DataError, StorageError

FORMAT = 1  # of the files below; raised when older stores must be made again
ABANDONED = 3600  # seconds without a write after which an unfinished store belongs to a dead process

PICTURES, ENTRIES, PROBLEMS, SUMMARY = "pictures.u8", "entries.jsonl", "problems.jsonl", "store.json"


@dataclass(frozen=True, eq=False)
class Store:
    """Pictures of one size with their captions, ready for training.

    Args:
        pictures: bytes 0..255, memory-mapped and read-only.
        captions: one or more for each picture.
        labels: the class of each picture, or None.
        names: what each picture is called in reports.
        fingerprint: SHA-256 of pictures, captions and labels, in hex; the same wherever the same data lies.
        report: what was set aside or noted on the way.
    """

    pictures: UInt8[np.ndarray, "n 3 size size"]
    captions: list[tuple[str, ...]]
    labels: list[str | None]
    names: list[str]
    fingerprint: str
    report: Report

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> int:
        """Pixels per side."""
        return self.pictures.shape[-1]

    def batch(
        self, indices: Int64[Tensor, "b"], size: int | None = None, flips: Bool[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b 3 size size"]:
        """Some pictures as float32 in [-1, 1].

        Args:
            indices: which.
            size: pixels per side, a whole fraction of the store's size (blocks of pixels are averaged), or all.
            flips: which of them to mirror left and right.

        Raises:
            DataError: `size` is not a whole fraction.
        """
        pictures = to_tensor(self.pictures[indices.cpu().numpy()])
        if size is not None and size != self.size:
            if size < 1 or self.size % size:
                raise DataError(f"pictures of {self.size} pixels cannot be averaged down to {size}")
            pictures = functional.avg_pool2d(pictures, self.size // size)
        return pictures if flips is None else torch.where(flips[:, None, None, None], pictures.flip(-1), pictures)

    def texts(self) -> Iterator[str]:
        """All captions, from which a tokenizer learns."""
        return (text for several in self.captions for text in several)

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open a finished store; raises DataError when a file is missing or damaged."""
        try:
            summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
            with (folder / ENTRIES).open(encoding="utf-8") as file:
                entries = [json.loads(line) for line in file]
            shape = (len(entries), 3, summary["size"], summary["size"])
            if (folder / PICTURES).stat().st_size != np.prod(shape, dtype=int) or summary["count"] != len(entries):
                raise ValueError("lengths differ")
            return cls(
                pictures=np.memmap(folder / PICTURES, np.uint8, "r", shape=shape),
                captions=[tuple(entry["captions"]) for entry in entries],
                labels=[entry["label"] for entry in entries],
                names=[entry["name"] for entry in entries],
                fingerprint=summary["fingerprint"],
                report=Report.load(folder / PROBLEMS),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder}: damaged picture store ({error}); delete it") from error


def prepare(
    source: Path | str,
    size: int,
    cache: Path,
    *,
    split: str = "all",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Decode every picture of a source once, or open the store that an earlier call made of the same source.

    Args:
        source: a folder or .tar file (see `sources.find`), or the word "digits" (see `digits`).
        size: pixels per side.
        cache: the folder that holds the stores, one for each source, size and split; made when missing.
        split: "all", a part of the digits, or the name of a sub-folder (or how the names of .tar files begin).
        workers: threads that decode; by default one per processor core.
        progress: called with (pictures done, pictures in all).

    Returns:
        The store. Pictures that cannot be used are in its report.

    Raises:
        DataError: no usable picture, no such source or split, or `size` < 1.
        StorageError: the cache cannot be written; nothing half-made is left.
    """
    if size < 1:
        raise DataError(f"a picture cannot have {size} pixels a side")
    report = Report()
    entries = entries_of(source, report, split)
    key = _listing_key(entries, report, size)
    name = re.sub(r"[^\w-]+", "-", Path(source).name).strip("-") or "pictures"
    folder = cache / f"{name}-{size}-{key[:16]}"
    try:
        return Store.open(folder)
    except DataError:
        pass  # not made yet, or damaged
    unfinished = cache / f".{folder.name}.{os.getpid()}.unfinished"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(cache)
        _require_space(cache, len(entries) * 3 * size * size)
        _write(unfinished, entries, size, report, workers or os.cpu_count() or 1, progress)
        return _publish(unfinished, folder)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def entries_of(source: Path | str, report: Report, split: str = "all") -> list[Entry]:
    """The samples of a source, with `source` and `split` as in `prepare`; nothing is decoded yet.

    Raises DataError when there is no such source or split, or nothing usable in it.
    """
    return digits(split) if source == "digits" else _part(find(Path(source), report), split, source)


def _part(entries: list[Entry], split: str, source: Path | str) -> list[Entry]:
    if split == "all":
        return entries
    tops = [entry.picture.name.partition("/")[0] for entry in entries]
    part = [
        entry
        for entry, top in zip(entries, tops, strict=True)
        if top == split or (top.startswith(split) and top.endswith(".tar"))
    ]
    if not part:
        raise DataError(f"{source}: no split {split!r}; there are {', '.join(sorted(set(tops))[:10])}")
    return part


def _listing_key(entries: list[Entry], report: Report, size: int) -> str:
    """SHA-256 of everything that can be known without opening a picture."""
    digest = hashlib.sha256(json.dumps([FORMAT, size]).encode())
    for entry in entries:
        picture = entry.picture
        digest.update(json.dumps([picture.name, picture.stamp(), entry.captions, entry.label]).encode())
    for problem in report:
        digest.update(json.dumps([problem.where, problem.reason]).encode())
    return digest.hexdigest()


def _clear_abandoned(cache: Path) -> None:
    for folder in cache.glob(".*.unfinished"):
        with suppress(FileNotFoundError):  # finished by its owner meanwhile
            newest = max(file.stat().st_mtime for file in (folder, *folder.iterdir()))
            if time.time() - newest > ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)


def _require_space(cache: Path, needed: int) -> None:
    free = shutil.disk_usage(cache).free
    if free < needed:
        raise StorageError(f"{cache}: the disk is too full: {needed:,} bytes needed, {free:,} free; make room")


def _write(
    folder: Path,
    entries: list[Entry],
    size: int,
    report: Report,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    digest = hashlib.sha256(b"sfumato pictures %d" % size)
    count = 0
    with (folder / PICTURES).open("wb") as pictures, (folder / ENTRIES).open("w", encoding="utf-8") as lines:
        for done, (entry, picture) in enumerate(_drawn(entries, size, workers), 1):
            if isinstance(picture, PictureError):
                report.set_aside(entry.picture.name, str(picture))
            else:
                description = {"captions": entry.captions, "label": entry.label}
                content = picture.tobytes()
                pictures.write(content)
                digest.update(content + json.dumps(description).encode())
                lines.write(json.dumps({"name": entry.picture.name} | description, ensure_ascii=False) + "\n")
                count += 1
            if progress:
                progress(done, len(entries))
        if count == 0:
            raise DataError(f"none of {len(entries):,} pictures can be used. {report.summary()}")
        pictures.flush()
        os.fsync(pictures.fileno())
    report.save(folder / PROBLEMS)
    summary = {"format": FORMAT, "size": size, "count": count, "fingerprint": digest.hexdigest()}
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _drawn(
    entries: list[Entry], size: int, workers: int
) -> Iterator[tuple[Entry, UInt8[np.ndarray, "3 size size"] | PictureError]]:
    """Each entry with its picture or the reason why there is none, in order."""

    def draw(entry: Entry) -> UInt8[np.ndarray, "3 size size"] | PictureError:
        try:
            return entry.picture.draw(size)
        except PictureError as error:
            return error

    return in_order(draw, entries, workers)


def _publish(unfinished: Path, folder: Path) -> Store:
    """Give a finished store its name in one move; when another process was faster, use that one."""
    try:
        unfinished.rename(folder)
    except OSError:
        try:
            return Store.open(folder)
        except DataError:  # damaged: make room
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
    return Store.open(folder)
