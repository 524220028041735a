"""Pictures in tar files, as webdataset writes them: members of one sample share the name up to its first dot."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sfumato.data.captions import MAX_SIDECAR, SIDECARS, clean, describe
from sfumato.data.entries import Entry, Where, readable
from sfumato.data.pictures import NOT_READ, SUFFIXES, not_read
from sfumato.data.report import Report
from sfumato.errors import DataError

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
COMPRESSED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")

MAX_LABEL = 200  # characters

Span = tuple[int, int]  # offset and size in bytes


def read(path: Path, name: str, report: Report) -> list[Entry]:
    """Index a tar file by the offsets of its members, so that pictures can be read in any order without unpacking.

    Args:
        path: an uncompressed tar file.
        name: what it is called in reports.
        report: takes samples without caption, and where a broken file ends; what comes before is used.

    Returns:
        The samples, in the order of the file.

    Raises:
        DataError: the file is compressed, not a tar file, or cannot be read.
    """
    samples: dict[str, dict[str, Span]] = {}  # by key, by what follows its dot
    try:
        with path.open("rb") as file:
            _refuse_compressed(file)
            for member, span in _members(file, path.stat().st_size, name, report):
                folder, _, base = member.rpartition("/")
                key, _, kind = base.partition(".")
                samples.setdefault(f"{folder}/{key}".lstrip("/"), {})[kind.lower()] = span
            return [
                entry
                for key, members in samples.items()
                if (parts := _parts(f"{name}/{key}", members, report))
                for suffix in sorted(parts.keys() & SUFFIXES)
                if (entry := _entry(path, file, f"{name}/{key}{suffix}", parts[suffix], parts, report))
            ]
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error


def _parts(name: str, members: dict[str, Span], report: Report) -> dict[str, Span]:
    """The members of one sample by suffix: "png" before others that end so, such as "mask.png", and these in order."""
    parts: dict[str, Span] = {}
    for kind in sorted(members, key=lambda kind: "." in kind):
        suffix = "." + kind.rpartition(".")[2]
        if suffix in NOT_READ:
            report.set_aside(f"{name}.{kind}", not_read(suffix))
        elif parts.setdefault(suffix, members[kind]) is not members[kind] and suffix in SUFFIXES:
            report.set_aside(f"{name}.{kind}", f"a second {suffix} of one sample, whose name ends at the first dot")
    return parts


def _entry(
    path: Path, file: BinaryIO, where: str, picture: Span, parts: dict[str, Span], report: Report
) -> Entry | None:
    def content(suffix: str) -> bytes:
        offset, size = parts[suffix]
        file.seek(offset)
        return file.read(min(size, MAX_SIDECAR + 1))

    label = clean(content(".cls").decode("utf-8", errors="replace"))[:MAX_LABEL] if ".cls" in parts else None
    sidecars = {suffix: content(suffix) for suffix in SIDECARS if suffix in parts}
    try:
        captions = describe(where, sidecars, label, report)
    except DataError as error:
        report.set_aside(where, str(error))
        return None
    return Entry(Where(path, where, *picture), captions, label or None)


def _refuse_compressed(file: BinaryIO) -> None:
    start = file.read(6)
    file.seek(0)
    for magic, kind in COMPRESSED.items():
        if start.startswith(magic):
            raise DataError(
                f"compressed with {kind}: unpack it to a plain .tar first, so that it can be read in any order"
            )


def _members(file: BinaryIO, length: int, name: str, report: Report) -> Iterator[tuple[str, Span]]:
    """Names and places of the regular, visible members; ends with a problem in the report where the file is broken."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # the headers of a million members add up
                if member.size < 0:  # which leads back to itself
                    raise tarfile.ReadError("a damaged header")
                if member.offset_data + member.size > length:
                    raise tarfile.ReadError("the last member is cut off")
                if member.isreg() and not member.issparse() and _visible(member.name):
                    yield readable(member.name.removeprefix("./")), (member.offset_data, member.size)
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError("a damaged header")
    except (OverflowError, MemoryError):  # a header that claims more than any file has
        report.set_aside(name, "broken tar file: a damaged header; what comes before is used")
    except (tarfile.TarError, ValueError, EOFError) as error:
        report.set_aside(name, f"broken tar file: {error}; what comes before is used")


def _visible(member: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in member.split("/") if part != ".")
