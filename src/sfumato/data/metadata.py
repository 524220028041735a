"""Captions in a table beside the pictures: metadata.jsonl or metadata.csv, as in Hugging Face's imagefolder."""

import csv
import json
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sfumato.data.captions import captions_of, clean, lines, tidy
from sfumato.data.report import Report
from sfumato.errors import DataError

TABLES = ("metadata.jsonl", "metadata.csv")
FILE = "file_name"

Row = tuple[tuple[str, ...], str | None]  # captions, label


def read(root: Path, table: str, files: Collection[str], report: Report) -> dict[str, Row]:
    """The rows of one table, by picture.

    Args:
        root: the folder of the source.
        table: the table's path below `root`; its file names are relative to its own folder.
        files: every file of the source, relative to `root`; nothing else can be named by a row.
        report: takes the rows that cannot be used, each with file and line.

    Returns:
        Captions and label for each picture; several rows for one picture add up.

    Raises:
        DataError: the table as a whole cannot be understood.
    """
    rows: dict[str, Row] = {}
    parse = _csv if table.endswith(".csv") else _jsonl
    for line, record in parse(root / table, table, report):
        where = f"{table}:{line}"
        try:
            picture = _named(record, posixpath.dirname(table), files)
            texts = captions_of(record)
            captions = tidy(texts, where, report)
            if not captions:
                raise DataError("empty caption" if texts else "no caption")
        except DataError as error:
            report.set_aside(where, str(error))
            continue
        except RecursionError:
            report.set_aside(where, "captions within captions, too deep to be read")
            continue
        before, label = rows.get(picture, ((), None))
        rows[picture] = tuple(dict.fromkeys(before + captions)), label or _label(record)
    return rows


def _named(record: Mapping[str, object], folder: str, files: Collection[str]) -> str:
    name = record.get(FILE)
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"no {FILE}")
    parts = name.strip().replace("\\", "/")
    if parts.startswith("/") or re.match(r"[A-Za-z]:", parts) or ".." in parts.split("/"):
        raise DataError(f"{FILE} leads out of its folder: {name!r}")
    path = posixpath.normpath(posixpath.join(folder, parts))
    if path not in files:
        raise DataError(f"missing file: {name!r}")
    return path


def _label(record: Mapping[str, object]) -> str | None:
    label = record.get("label")
    return clean(str(label)) or None if isinstance(label, str | int) else None


def _jsonl(path: Path, table: str, report: Report) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in lines(path, table, report):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            report.set_aside(f"{table}:{number}", f"not JSON: {error}")
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            report.set_aside(f"{table}:{number}", "not a JSON object")


def _csv(path: Path, table: str, report: Report) -> Iterator[tuple[int, Mapping[str, object]]]:
    text = (line for _, line in lines(path, table, report))
    first = next(text, "")
    delimiter = max(",;\t", key=first.count)
    try:
        header = [column.strip() for column in next(csv.reader([first], delimiter=delimiter), [])]
    except csv.Error as error:
        raise DataError(f"{table}:1: not CSV: {error}") from error
    if FILE not in header or not captions_of(dict.fromkeys(header, "")):
        raise DataError(f"{table}:1: needs a column '{FILE}' and one of text, caption or prompt; it has {header}")
    rows = csv.reader(text, delimiter=delimiter)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            report.set_aside(f"{table}:{rows.line_num + 1}", f"not CSV: {error}")
            continue
        if any(field.strip() for field in row[len(header) :]):
            told = "more fields than columns: those are left out; a caption that holds a comma stands in quotes"
            report.note(f"{table}:{rows.line_num + 1}", told)
        if row:
            yield rows.line_num + 1, dict(zip(header, row, strict=False))
