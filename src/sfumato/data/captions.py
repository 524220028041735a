"""Captions: bytes of any origin turned into clean text, or a reason why not."""

import codecs
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sfumato.data.report import Report
from sfumato.data.words import with_article
from sfumato.errors import DataError

MAX_LENGTH = 2_000  # characters; far beyond what a text encoder reads
MAX_SIDECAR = 2**20  # bytes
MAX_LINE = 16 * 2**20  # bytes
SIDECARS = (".txt", ".caption", ".json")
COLUMN = re.compile(r"(text|caption|prompt|description)s?_?\d*", re.IGNORECASE)
JOINERS = "\u200c\u200d"  # zero-width, but part of Persian words and of emoji

WIDE = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
        codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip


def decoded(data: bytes, where: str, report: Report) -> str:
    """Text from bytes: UTF-8, or what a byte-order mark says, or else Windows' Latin alphabet, which is noted."""
    encoding = next((name for mark, name in WIDE.items() if data.startswith(mark)), "utf-8-sig")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        pass
    if encoding != "utf-8-sig":
        report.note(where, f"broken {encoding}: unreadable characters left out")
        return data.decode(encoding, errors="ignore")
    report.note(where, "not UTF-8: read as Windows-1252")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def lines(path: Path, where: str, report: Report) -> Iterator[tuple[int, str]]:
    """The numbered lines of a text file, decoded one by one so that one odd line does not spoil the others.

    Raises DataError when a line is longer than 16 MiB.
    """
    with path.open("rb") as file:
        if file.read(4).startswith(tuple(WIDE)):
            file.seek(0)
            yield from enumerate(io.StringIO(decoded(file.read(), where, report)), 1)
            return
        file.seek(0)
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
            if len(line) == MAX_LINE:
                raise DataError(f"{where}:{number}: a line of more than {MAX_LINE:,} bytes")
            yield number, decoded(line, f"{where}:{number}", report)


def clean(text: str) -> str:
    """NFC, without control characters, each run of white space one space."""
    seen = (c for c in text if c.isspace() or c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return " ".join(unicodedata.normalize("NFC", "".join(seen)).split())


def tidy(captions: Iterable[str], where: str, report: Report) -> tuple[str, ...]:
    """Clean captions without the empty and repeated ones, the over-long ones cut between words and noted."""
    kept = dict.fromkeys(filter(None, map(clean, captions)))
    return tuple(dict.fromkeys(_cut(caption, where, report) for caption in kept))


def _cut(caption: str, where: str, report: Report) -> str:
    if len(caption) <= MAX_LENGTH:
        return caption
    report.note(where, f"long caption: {len(caption):,} characters, cut to {MAX_LENGTH:,}")
    head, _, _ = caption[: MAX_LENGTH + 1].rpartition(" ")
    return head or caption[:MAX_LENGTH]


def captions_of(record: object) -> list[str]:
    """The captions in a parsed JSON value or a row of a table: every text under a caption's column name.

    Example:
        >>> captions_of({"file_name": "a.png", "text": "a cat", "captions": ["a pet", "an animal"]})
        ['a cat', 'a pet', 'an animal']
    """
    if isinstance(record, str):
        return [record]
    if isinstance(record, Mapping):
        return [text for key, value in record.items() if COLUMN.fullmatch(str(key)) for text in captions_of(value)]
    if isinstance(record, list):
        return [text for value in record if isinstance(value, str) for text in captions_of(value)]
    return []


def describe(where: str, sidecars: Mapping[str, bytes], folder: str | None, report: Report) -> tuple[str, ...]:
    """The captions of one picture: those written beside it, or else those made from the name of its class.

    Args:
        where: the picture's name, for the report.
        sidecars: contents of the files beside it, by suffix; `.txt` and `.caption` hold one caption a line.
        folder: the class, if any.
        report: takes what is odd.

    Raises:
        DataError: there is no caption, or it is empty or unreadable; the message is the reason.
    """
    empty = False
    for suffix in SIDECARS:
        if suffix in sidecars:
            texts = _texts(suffix, sidecars[suffix], where, report)
            if captions := tidy(texts, where, report):
                return captions
            empty = empty or bool(texts)
    if empty:
        raise DataError("empty caption")
    captions = class_captions(folder) if folder else ()
    if not captions:
        raise DataError("no caption")
    return captions


def _texts(suffix: str, data: bytes, where: str, report: Report) -> list[str]:
    if len(data) > MAX_SIDECAR:
        raise DataError(f"caption file too large: more than {MAX_SIDECAR:,} bytes")
    text = decoded(data, where, report)
    if suffix != ".json":
        return text.splitlines() or [""]
    try:
        return captions_of(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise DataError(f"caption file is not JSON: {error}") from error


def class_captions(folder: str) -> tuple[str, ...]:
    """Captions made from the name of a class folder; empty when the name holds no word.

    The catalogue numbers of ImageNet ("n02085620-") and CUB ("001.") folders are left out.

    Example:
        >>> class_captions("ankle_boot")
        ('ankle boot', 'a photo of an ankle boot', 'a picture of an ankle boot')
    """
    name = re.sub(r"^(n\d{8}|\d+)[-_. ]+(?=[^\W\d_])", "", folder)
    words = clean(re.sub(r"[-_]+", " ", name))
    if not words:
        return ()
    return (words, f"a photo of {with_article(words)}", f"a picture of {with_article(words)}")
