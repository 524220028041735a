"""Text out of files exactly as it stands, in pieces of a bounded size; what is no text is refused with its place."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from sfumato.data.captions import WIDE
from sfumato.errors import DataError

PIECE = 2**20  # bytes read at once, and characters after which even a single word is cut
LAST_WORD = re.compile(r"\s\S+\s*\Z")


def pieces(path: Path, where: str) -> Iterator[str]:
    """The text of a UTF-8 file, in pieces that begin with the white space before a word.

    Tokenizers cut there too, so that the pieces give the tokens of the whole. Only a word of more than a mebibyte is
    itself cut. Line ends stay as they are; a byte-order mark is left out.

    Raises:
        DataError: the file is binary, or not UTF-8; the message says at which byte.
    """
    held = ""
    for text in _decoded(path, where):
        held += text
        if cut := _end_of_piece(held):
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held


def _end_of_piece(text: str) -> int:
    last = LAST_WORD.search(text)
    if last and last.start() > 0:
        return last.start()
    return len(text) if len(text) >= PIECE else 0


def _decoded(path: Path, where: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    try:
        with path.open("rb") as file:
            done = _after_mark(file.read(4), where)
            file.seek(done)
            while data := file.read(PIECE):
                yield _text(decoder, data, done, where)
                done += len(data)
        _text(decoder, b"", done, where, final=True)
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror or error}") from error


def _after_mark(beginning: bytes, where: str) -> int:
    """How long the byte-order mark of UTF-8 is that a file may begin with; those of others are refused."""
    if beginning.startswith(codecs.BOM_UTF8):
        return len(codecs.BOM_UTF8)
    for mark, encoding in WIDE.items():
        if beginning.startswith(mark):
            raise DataError(f"{where}: {encoding.upper()} text; save it as UTF-8")
    return 0


def _text(decoder: codecs.IncrementalDecoder, data: bytes, done: int, where: str, final: bool = False) -> str:
    if (zero := data.find(0)) >= 0:
        raise DataError(f"{where}: byte {done + zero:,} is zero; this is a binary file, not text")
    waiting = len(decoder.getstate()[0])  # bytes of a character that the data before began
    try:
        return decoder.decode(data, final)
    except UnicodeDecodeError as error:
        place = done - waiting + error.start
        raise DataError(f"{where}: not UTF-8 at byte {place:,}; save it as UTF-8, or leave it out") from error
