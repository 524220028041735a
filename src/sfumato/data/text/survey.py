"""A first look through all of a corpus: what can be read of it, how much it is, and of which characters."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sfumato.data.report import Report
from sfumato.data.text.sources import Corpus, Document
from sfumato.errors import DataError


@dataclass(frozen=True)
class Survey:
    """What a corpus holds.

    Args:
        alphabet: every character there is.
        documents: how many there are that can be read.
        characters: how many they hold together.
        fingerprint: SHA-256 of the documents, in hex; the same wherever the same texts lie.
        left_out: the names of those that cannot be read.
        report: why not, and what was odd.
    """

    alphabet: frozenset[str]
    documents: int
    characters: int
    fingerprint: str
    left_out: frozenset[str]
    report: Report


def survey(corpus: Corpus, progress: Callable[[int], None] | None = None) -> Survey:
    """Read every document once, in pieces.

    Args:
        corpus: the texts.
        progress: called with the number of characters read so far.

    Raises:
        DataError: there is no text to learn from; of a single file the message says where it ends to be text.
    """
    report, left_out = Report(), set()
    digest, alphabet = hashlib.sha256(), set[str]()
    documents = characters = 0
    for document in corpus.documents(report):
        before = digest.copy()
        letters, length = set[str](), 0
        try:
            for piece in document.read():
                digest.update(piece.encode())
                letters.update(piece)
                length += len(piece)
                if progress:
                    progress(characters + length)
            if all(map(str.isspace, letters)):
                raise DataError(f"{document.name}: holds no text")
        except DataError as error:
            if corpus.only:
                raise
            report.set_aside(document.name, str(error).removeprefix(f"{document.name}: "))
            left_out.add(document.name)
            digest = before
            continue
        digest.update(f"\0{length}\0".encode())  # where it ends
        alphabet |= letters
        documents, characters = documents + 1, characters + length
    if not documents:
        raise DataError(" ".join(filter(None, (f"{corpus.name}: holds no text to learn from.", report.summary()))))
    return Survey(frozenset(alphabet), documents, characters, digest.hexdigest(), frozenset(left_out), report)


def documents_of(corpus: Corpus, surveyed: Survey) -> Iterator[Document]:
    """Those that can be read, again."""
    return (each for each in corpus.documents(Report()) if each.name not in surveyed.left_out)


def pieces_of(corpus: Corpus, surveyed: Survey) -> Iterator[str]:
    """All their pieces, one after the other."""
    return (piece for document in documents_of(corpus, surveyed) for piece in document.read())
