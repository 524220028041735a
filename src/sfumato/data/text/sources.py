"""Finding text: a file, the text files of a folder, the captions of pictures or of scenes."""

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from sfumato.data import metadata, shards
from sfumato.data.captions import MAX_LINE, captions_of
from sfumato.data.entries import Entry, readable
from sfumato.data.pictures import SUFFIXES as PICTURES
from sfumato.data.report import Report
from sfumato.data.sources import files_below, find
from sfumato.data.text.reading import pieces
from sfumato.errors import DataError

SUFFIXES = (".txt", ".md", ".jsonl")
TABLES = (*metadata.TABLES, "metadata.parquet")  # of the captions of pictures
TARS = (".tar", *shards.COMPRESSED_SUFFIXES)
COLUMNS = "text, caption, prompt or description"

Kind = Literal["auto", "text", "captions"]


@dataclass(frozen=True)
class Document:
    """One text that has a beginning and an end.

    Args:
        name: what it is called in reports.
        read: gives it in pieces, as often as it is called; they raise DataError where it cannot be read.
    """

    name: str
    read: Callable[[], Iterator[str]]


@dataclass(frozen=True)
class Corpus:
    """Texts that can be read again and again.

    Args:
        name: of where they come from.
        stamp: a text that changes when they may have changed.
        documents: gives them, always in the same order; what is wrong with others goes to the report.
        only: whether there is one document alone, so that a problem with it is one with everything.
    """

    name: str
    stamp: str
    documents: Callable[[Report], Iterator[Document]]
    only: bool = False


def find_texts(path: Path, kind: Kind = "auto") -> Corpus:
    """The texts of a file or folder, or the captions of a folder or tar of pictures.

    A .jsonl file holds a document a line, under "text" or another caption's name; every other file is a document.

    Args:
        path: what to read.
        kind: "text" for text files, "captions" for those of pictures; "auto" takes the captions of a folder in which
            there are pictures.

    Raises:
        DataError: there is no such file or folder, or nothing in it that could be read.
    """
    if path.is_dir():
        report = Report()
        files = sorted(files_below(path, report))
        if kind == "captions" or (kind == "auto" and any(map(_is_of_pictures, files))):
            return captions_in(find(path, report), readable(path.name), report)
        texts = [path / file for file in files if file.lower().endswith(SUFFIXES)]
        if not texts:
            raise DataError(f"{path}: found no text: no {', '.join(SUFFIXES)} file, and no picture with a caption.")
        return _files(texts, path, report)
    if kind == "captions" or path.name.lower().endswith(TARS):
        report = Report()
        return captions_in(find(path, report), readable(path.name), report)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder of text")
    return _files([path], path.parent, Report(), only=path.suffix.lower() != ".jsonl")


def captions_in(entries: Iterable[Entry], name: str, report: Report | None = None) -> Corpus:
    """All captions of some pictures, each a document, in an order in which their classes do not follow each other."""
    captions = [caption for entry in entries for caption in entry.captions]
    random.Random(0).shuffle(captions)
    digest = hashlib.sha256(json.dumps(captions).encode()).hexdigest()
    return spoken(name, digest, lambda: captions, report)


def spoken(name: str, stamp: str, texts: Callable[[], Iterable[str]], report: Report | None = None) -> Corpus:
    """Texts that are at hand, or made when they are asked for, each a document; `report` is on others."""

    def documents(known: Report) -> Iterator[Document]:
        _copy(report, known)
        for number, text in enumerate(texts(), 1):
            yield Document(f"{name}:{number}", partial(_whole, text))

    return Corpus(name, stamp, documents)


def _is_of_pictures(file: str) -> bool:
    base = file.rpartition("/")[2].lower()
    return base in TABLES or base.endswith((*TARS, *PICTURES))


def _files(paths: Sequence[Path], root: Path, report: Report, only: bool = False) -> Corpus:
    stamps = []
    for path in paths:
        try:
            file = path.stat()
            stamps.append((readable(str(path.relative_to(root))), file.st_size, file.st_mtime_ns))
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error

    def documents(known: Report) -> Iterator[Document]:
        _copy(report, known)
        for path, (name, *_) in zip(paths, stamps, strict=True):
            if not path.is_file():  # opening a pipe or device would wait for ever
                known.set_aside(name, "not a regular file")
            elif path.suffix.lower() == ".jsonl":
                yield from _records(path, name, known)
            else:
                yield Document(name, partial(pieces, path, name))

    return Corpus(readable(root.name if len(paths) > 1 else paths[0].name), json.dumps(stamps), documents, only)


def _records(path: Path, name: str, report: Report) -> Iterator[Document]:
    """The documents of a file of JSON lines."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(partial(file.readline, MAX_LINE + 1), b""), 1):
                where = f"{name}:{number}"
                if len(line) > MAX_LINE:
                    report.set_aside(where, f"a line of more than {MAX_LINE:,} bytes")
                    while line and not line.endswith(b"\n"):
                        line = file.readline(MAX_LINE)
                    continue
                if line.isspace():
                    continue
                try:
                    texts = _texts(line)
                except DataError as error:
                    report.set_aside(where, str(error))
                    continue
                yield from (Document(where, partial(_whole, text)) for text in texts)
    except OSError as error:
        report.set_aside(name, f"cannot be read: {error.strerror or error}")


def _texts(line: bytes) -> list[str]:
    try:
        texts = captions_of(json.loads(line.decode("utf-8-sig")))
        for text in texts:
            text.encode()  # JSON can spell half a character
    except (ValueError, RecursionError) as error:
        raise DataError(f"not a line of JSON in UTF-8: {error}") from error
    if not texts:
        raise DataError(f"no text: it has none under {COLUMNS}")
    return texts


def _whole(text: str) -> Iterator[str]:
    return iter((text,))


def _copy(source: Report | None, target: Report) -> None:
    for problem in source or ():
        (target.note if problem.kept else target.set_aside)(problem.where, problem.reason)
