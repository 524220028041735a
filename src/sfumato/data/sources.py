"""Finding pictures with captions: folders in the formats people have, recognised by what lies in them."""

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sfumato.data import metadata, shards
from sfumato.data.captions import MAX_SIDECAR, SIDECARS, class_captions, describe
from sfumato.data.entries import Entry, Where, readable
from sfumato.data.pictures import NOT_READ, SUFFIXES, not_read
from sfumato.data.report import Report
from sfumato.errors import DataError

__all__ = ["Entry", "Where", "files_below", "find"]

IGNORED = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
# Folders that say which part of the data a picture belongs to, not what it shows.
PARTS = frozenset(
    {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "images", "imgs", "data"}
)
LOOKED_FOR = (
    "pictures listed in metadata.jsonl or metadata.csv (columns file_name and text), "
    "pictures with a .txt or .json caption beside them, pictures in class folders, or webdataset .tar files"
)


def find(path: Path, report: Report) -> list[Entry]:
    """Every picture with captions below a folder, or in a tar file.

    A picture's captions come from the first of: the metadata table of its folder, the caption file beside it, the name
    of the class folder it lies in. Pictures are not opened yet.

    Args:
        path: a folder, or an uncompressed .tar file.
        report: takes each picture without a caption and each table row, caption or shard that cannot be used.

    Returns:
        The samples, sorted by file; those in tar files follow in the order of the tar.

    Raises:
        DataError: nothing usable was found, or a table cannot be understood.
    """
    if path.is_dir():
        files = sorted(files_below(path, report))
        entries = [*_loose(path, files, report), *_packed(path, files, report)]
    elif path.is_file():
        if not path.name.lower().endswith((".tar", *shards.COMPRESSED_SUFFIXES)):
            raise DataError(f"{path}: neither a folder nor a .tar file of pictures; text is for --recipe gpt")
        entries = _shard(path, readable(path.name), report, fatal=True)
    else:
        raise DataError(f"{path}: no such folder or .tar file")
    if not entries:
        raise DataError(" ".join(filter(None, (f"{path}: found no {LOOKED_FOR}.", report.summary()))))
    return entries


def files_below(root: Path, report: Report) -> Iterator[str]:
    """Paths of all visible files below `root`, with "/", each folder read once however many links lead to it.

    What cannot be read goes to the report.
    """

    def unreadable(error: OSError) -> None:
        report.set_aside(readable(str(error.filename)), f"folder cannot be read: {error.strerror}")

    seen = set()
    for folder, folders, files in os.walk(root, onerror=unreadable, followlinks=True):
        place = os.stat(folder)  # noqa: PTH116 - the walk speaks in strings
        relative = Path(folder).relative_to(root)
        if (place.st_dev, place.st_ino) in seen:
            report.note(readable(relative.as_posix()), "link to a folder that is read already")
            folders.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        folders[:] = sorted(filter(_visible, folders))
        yield from ((relative / file).as_posix() for file in files if _visible(file))


def _visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in IGNORED


@dataclass(frozen=True)
class Companions:
    """What lies beside the pictures: rows of metadata tables, the folders that hold tables, caption files by stem."""

    rows: dict[str, metadata.Row]
    tables: set[str]
    sidecars: dict[str, dict[str, str]]


def _companions(root: Path, files: list[str], report: Report) -> Companions:
    known = frozenset(files)
    found = Companions({}, set(), {})
    tables = []
    for file in files:
        folder, _, base = file.rpartition("/")
        stem, suffix = os.path.splitext(file)  # noqa: PTH122
        if base in metadata.TABLES:
            tables.append(file)
            found.tables.add(folder)
        elif base == "metadata.parquet":
            report.set_aside(readable(file), "parquet tables are not read: export it as metadata.jsonl or metadata.csv")
        elif suffix.lower() in SIDECARS:
            found.sidecars.setdefault(stem, {})[suffix.lower()] = file
        elif suffix.lower() in NOT_READ:
            report.set_aside(readable(file), not_read(suffix.lower()))
    for file in sorted(tables, key=lambda file: file.count("/")):  # the nearest has the last word
        found.rows.update(_table(root, file, known, report))
    return found


def _table(root: Path, file: str, known: Collection[str], report: Report) -> dict[str, metadata.Row]:
    try:
        _require_regular(root / file)
    except DataError as error:
        raise DataError(f"{readable(file)}: {error}") from error
    try:
        return metadata.read(root, file, known, report)
    except OSError as error:
        raise DataError(f"{readable(file)}: cannot be read: {error.strerror or error}") from error


def _loose(root: Path, files: list[str], report: Report) -> Iterator[Entry]:
    """Pictures that are files of their own."""
    companions = _companions(root, files, report)
    pictures: list[tuple[Entry, str | None]] = []
    classes = set()
    for file in files:
        stem, suffix = os.path.splitext(file)  # noqa: PTH122
        if file not in companions.rows and suffix.lower() not in SUFFIXES:
            continue
        where = Where(root / file, readable(file))
        try:
            _require_regular(where.path)
            if file in companions.rows:
                pictures.append((Entry(where, *companions.rows[file]), None))
                continue
            beside = {kind: _content(root / name) for kind, name in companions.sidecars.get(stem, {}).items()}
            folder_name = None if _governed(file, companions.tables) else _class(file)
            captions = describe(where.name, beside, folder_name, report)
        except DataError as error:
            report.set_aside(where.name, str(error))
            continue
        pictures.append((Entry(where, captions), folder_name))
        if folder_name and captions == class_captions(folder_name):
            classes.add(folder_name)
    # A folder is a class when it names at least one of its pictures; others ("part-0001") merely divide the data.
    for entry, folder_name in pictures:
        yield replace(entry, label=folder_name) if folder_name in classes else entry


def _governed(file: str, tables: Collection[str]) -> bool:
    """Whether a metadata table lies in the file's folder or above: then folder names are not classes."""
    while file:
        file = file.rpartition("/")[0]
        if file in tables:
            return True
    return False


def _class(file: str) -> str | None:
    folders = reversed(file.split("/")[:-1])
    return next((readable(folder) for folder in folders if folder.lower() not in PARTS), None)


def _require_regular(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe or device would wait for ever
            raise DataError("not a regular file")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error


def _content(path: Path) -> bytes:
    _require_regular(path)
    try:
        with path.open("rb") as file:
            return file.read(MAX_SIDECAR + 1)
    except OSError as error:
        raise DataError(f"caption file cannot be read: {error.strerror}") from error


def _packed(root: Path, files: list[str], report: Report) -> Iterator[Entry]:
    """Pictures in tar files."""
    for file in files:
        if file.lower().endswith((".tar", *shards.COMPRESSED_SUFFIXES)):
            yield from _shard(root / file, readable(file), report, fatal=False)


def _shard(path: Path, name: str, report: Report, *, fatal: bool) -> list[Entry]:
    try:
        _require_regular(path)
        return shards.read(path, name, report)
    except DataError as error:
        if fatal:
            raise DataError(f"{path}: {error}") from error
        report.set_aside(name, str(error))
        return []
