"""From a corpus to tokens on disk: made once, in pieces, and found again."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.data.text.sources import Corpus
from sfumato.data.text.store import FORMAT, PROBLEMS, TokenStore, write_tokens
from sfumato.data.text.survey import Survey, documents_of, pieces_of, survey
from sfumato.data.text.tokens import Kind, TextTokenizer
from sfumato.data.tokenfiles import ALL_IN_ONE
from sfumato.errors import CheckpointError, DataError, StorageError


class Prepared(NamedTuple):
    """What a language model learns from."""

    store: TokenStore
    tokenizer: TextTokenizer


def prepare(
    corpus: Corpus,
    cache: Path,
    tokens: Kind = "characters",
    vocabulary: int = 4096,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Turn all of a corpus into tokens once, or open the store that an earlier call made of the same texts.

    Where there are several documents, the end token follows each.

    Args:
        corpus: the texts.
        cache: the folder that holds the stores, one for each corpus and kind of tokens; made when missing.
        tokens: "characters", or "bytes" for byte-level pieces of words that are learned from the texts.
        vocabulary: how many pieces at most.
        progress: called with (characters done, characters in all).

    Returns:
        The tokens and the tokenizer. Documents that cannot be used are in the store's report.

    Raises:
        DataError: there is no text, or it changed while it was read.
        StorageError: the cache cannot be written; nothing half-made is left.
    """
    key = hashlib.sha256(json.dumps([FORMAT, corpus.stamp, tokens, vocabulary]).encode()).hexdigest()
    name = re.sub(r"[^\w-]+", "-", corpus.name).strip("-") or "text"
    folder = cache / f"{name}-{key[:16]}"
    try:
        return _opened(folder)
    except (DataError, CheckpointError):
        pass  # not made yet, or damaged
    unfinished = cache / f".{folder.name}.{os.getpid()}.unfinished"
    surveyed = survey(corpus)
    try:
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process of the same number that was killed
        unfinished.mkdir(parents=True)
        _write(unfinished, corpus, surveyed, tokens, vocabulary, progress)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        return _opened(folder)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}; make room there") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _opened(folder: Path) -> Prepared:
    return Prepared(TokenStore.open(folder), TextTokenizer.load(folder))


def _write(
    folder: Path,
    corpus: Corpus,
    surveyed: Survey,
    tokens: Kind,
    vocabulary: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    if tokens == "characters":
        tokenizer = TextTokenizer.of_characters(surveyed.alphabet, end=surveyed.documents > 1)
    else:
        tokenizer = TextTokenizer.train(pieces_of(corpus, surveyed), vocabulary)
    tokenizer.save(folder)
    surveyed.report.save(folder / PROBLEMS)
    runs = _runs(corpus, surveyed, tokenizer, progress)
    known = _hash(folder / ALL_IN_ONE)
    write_tokens(folder, runs, tokenizer.vocab_size, surveyed.documents, surveyed.fingerprint, known)


def _runs(
    corpus: Corpus, surveyed: Survey, tokenizer: TextTokenizer, progress: Callable[[int, int], None] | None
) -> Iterator[Sequence[int]]:
    done = 0
    if progress:
        progress(done, surveyed.characters)
    for document in documents_of(corpus, surveyed):
        for piece in document.read():
            yield tokenizer.encode(piece)
            done += len(piece)
            if progress:
                progress(done, surveyed.characters)
        if surveyed.documents > 1 and tokenizer.end_id is not None:
            yield [tokenizer.end_id]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
