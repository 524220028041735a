"""Cleaned data beside the old: links to the pictures that are kept, their captions in a table, and what was left out.

A table names pictures below its own folder only, so that data from elsewhere can never reach a file of one's own; what
is kept is linked there. The originals are read, never written.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from sfumato.checkpoints.files import whole_folder
from sfumato.data.captions import clean
from sfumato.data.entries import Entry, Where
from sfumato.data.metadata import TABLES
from sfumato.errors import DataError
from sfumato.evaluation.data_check.findings import KINDS, Finding

PICTURES, TABLE, REJECTED = "pictures", TABLES[0], "rejected.jsonl"
COPIES = ("duplicate", "near-duplicate")
DRAWN = 64  # pixels a side of what is drawn at any size


@dataclass(frozen=True)
class Kept:
    """A sample that is kept: its number, where it comes from, its captions, and what its line tells besides."""

    number: int
    entry: Entry
    captions: tuple[str, ...]
    told: Mapping[str, Any] = field(default_factory=dict)


def require_free(out: Path, source: str) -> None:
    """Raise DataError when cleaned data cannot be written there: something is there, or it is within the originals."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise DataError(f"{out} is there already. Cleaned data are written to a new folder; name another one.")
    original = Path(source)
    if original.is_dir() and out.resolve().is_relative_to(original.resolve()):
        raise DataError(f"{out} lies within {source}, whose pictures are not touched; name a folder beside it.")


def mend(
    out: Path, entries: Sequence[Entry], findings: Sequence[Finding], keep: Collection[str] = ()
) -> tuple[int, int]:
    """Write cleaned data, all or nothing.

    `out` then holds `metadata.jsonl`, which names the kept pictures with their repaired captions as training reads
    them; `pictures/`, links to them, or copies of those that lie in a tar; and `rejected.jsonl`, what was left out.

    Args:
        out: a folder that is new or empty.
        entries: the samples.
        findings: what is wrong with them.
        keep: kinds of findings for which nothing is left out.

    Returns:
        How many pictures are kept and how many are left out.

    Raises:
        DataError: nothing is left; StorageError: it cannot be written.
    """
    by_picture: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.picture is not None:
            by_picture.setdefault(finding.picture, []).append(finding)
    kept: list[Kept] = []
    rejected = [_told(finding.where, (), [finding]) for finding in findings if finding.picture is None]
    counting = _counting(entries, by_picture, {*keep} - {"unusable"})
    for number, entry in enumerate(entries):
        captions, reasons = _mended(entry, counting.get(number, []))
        if captions:
            kept.append(Kept(number, entry, captions))
        if reasons:
            left = () if captions else entry.captions
            rejected.append(_told(entry.picture.name, left, reasons))
    if not kept:
        raise DataError(f"nothing is left of {len(entries):,} pictures; keep some kinds of findings by --keep")
    write_linked(out, kept, {REJECTED: rejected})
    return len(kept), len(entries) - len(kept)


def write_linked(
    out: Path, kept: Sequence[Kept], lists: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
) -> None:
    """Write data for training, all or nothing: links to pictures, their captions in a table, and `lists` by file name.

    Raises StorageError when it cannot be written.
    """
    with whole_folder(out) as folder:
        (folder / PICTURES).mkdir()
        with (folder / TABLE).open("w", encoding="utf-8") as table:
            for each in kept:
                name = f"{PICTURES}/{_file_name(each.number, each.entry)}"
                _place(each.entry, folder / name)
                row = {**_row(name, each.captions, each.entry.label), **each.told}
                table.write(json.dumps(row, ensure_ascii=False) + "\n")
        for file, rows in (lists or {}).items():
            with (folder / file).open("w", encoding="utf-8") as lines:
                lines.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in rows)


def _counting(
    entries: Sequence[Entry], findings: Mapping[int, list[Finding]], keep: Collection[str]
) -> dict[int, list[Finding]]:
    """The findings that count, picture by picture: a copy of what is left out for its own sake is none any more."""
    found = {number: [one for one in several if one.kind not in keep] for number, several in findings.items()}
    standing: dict[int, int] = {}  # the one of several copies that stays, where the one that they are copies of goes
    for number in sorted(found):
        for copy in list(found[number]):
            other = copy.other
            if other is None or copy.kind not in COPIES:
                continue
            alone = [one for one in found.get(other, []) if one.kind not in COPIES]
            if not _mended(entries[other], alone)[0] and standing.setdefault(other, number) == number:
                found[number].remove(copy)
    return found


def _mended(entry: Entry, findings: Sequence[Finding]) -> tuple[tuple[str, ...], list[Finding]]:
    """The captions that are left, repaired, and the findings for which something was left out."""
    reasons = [finding for finding in findings if KINDS[finding.kind].rejects]
    if any(KINDS[finding.kind].rejects == "picture" for finding in findings):
        return (), reasons
    wrong = {finding.caption for finding in reasons}
    repaired = {finding.caption: finding.repaired for finding in findings if finding.repaired}
    left = [clean(repaired.get(caption) or caption) for caption in entry.captions if caption not in wrong]
    return tuple(dict.fromkeys(filter(None, left))), reasons


def _told(where: str, captions: Sequence[str], findings: Sequence[Finding]) -> dict[str, Any]:
    reasons: list[Mapping[str, Any]] = [
        {"kind": one.kind, "reason": one.reason} | ({"caption": one.caption} if one.caption is not None else {})
        for one in findings
    ]
    return {"where": where, "picture_kept": not captions and findings[0].picture is not None, "reasons": reasons}


def _row(name: str, captions: Sequence[str], label: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"file_name": name, "text": captions[0]}
    if len(captions) > 1:
        row["captions"] = list(captions)
    return row if label is None else row | {"label": label}


def _file_name(number: int, entry: Entry) -> str:
    """A name that is new and plain, by which the old one can be known."""
    old = PurePosixPath(entry.picture.name)
    suffix = old.suffix.lower() if isinstance(entry.picture, Where) else ".png"
    stem = re.sub(r"[^A-Za-z0-9]+", "-", old.stem).strip("-")[:60]
    return f"{number:07}-{stem}{suffix}" if stem else f"{number:07}{suffix}"


def _place(entry: Entry, path: Path) -> None:
    """Link a picture, or copy it where it is no file of its own."""
    picture = entry.picture
    if not isinstance(picture, Where):
        content = io.BytesIO()
        Image.fromarray(picture.draw(DRAWN).transpose(1, 2, 0)).save(content, format="PNG")
        path.write_bytes(content.getvalue())
    elif picture.size is None and picture.offset == 0:
        original = picture.path.resolve()
        try:
            path.symlink_to(original)
        except OSError:  # a system, or a disk, without links
            shutil.copyfile(original, path)
    else:
        with picture.open() as file, path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
    if os.name == "posix" and not path.is_symlink():
        path.chmod(0o644)
