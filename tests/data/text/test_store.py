"""Tokens on disk: exact, small, found again, and never half-made."""

import json
import os

import numpy as np
import pytest
import torch

from sfumato.data.text import prepare as preparing
from sfumato.data.text.prepare import prepare
from sfumato.data.text.sources import find_texts
from sfumato.data.text.store import TokenStore, sequences, write_tokens
from sfumato.errors import DataError, StorageError

TEXT = "To be, or not to be:\r\nthat is the question.\n" * 50


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "text.txt").write_bytes(TEXT.encode())
    return find_texts(tmp_path / "text.txt")


@pytest.mark.parametrize("kind", ["characters", "bytes"])
def test_the_tokens_are_the_text(tmp_path, corpus, kind):
    store, tokenizer = prepare(corpus, tmp_path / "cache", kind, 300)
    assert tokenizer.decode(store.tokens.tolist()) == TEXT
    assert store.tokens.dtype == np.uint16
    assert isinstance(store.tokens, np.memmap)
    assert store.documents == 1
    assert len(store) == len(TEXT) if kind == "characters" else len(store) < len(TEXT) / 2


@pytest.mark.parametrize("kind", ["characters", "bytes"])
def test_documents_end_with_the_end_token(tmp_path, kind):
    (tmp_path / "texts.jsonl").write_text('"one"\n"two"\n"three"')
    store, tokenizer = prepare(find_texts(tmp_path / "texts.jsonl"), tmp_path / "cache", kind)
    tokens = store.tokens.tolist()
    assert tokens.count(tokenizer.end_id) == store.documents == 3
    assert tokens[-1] == tokenizer.end_id
    assert tokenizer.decode(tokens[: tokens.index(tokenizer.end_id)]) == "one"


def test_a_store_is_made_once_and_again_when_the_text_or_the_tokens_change(tmp_path, corpus, monkeypatch):
    cache = tmp_path / "cache"
    first = prepare(corpus, cache).store
    with monkeypatch.context() as context:
        context.setattr(preparing, "survey", None)  # it would be called
        assert prepare(corpus, cache).store.fingerprint == first.fingerprint
    assert prepare(corpus, cache, "bytes", 300).store.vocabulary != first.vocabulary
    (tmp_path / "text.txt").write_text("another text")
    assert prepare(find_texts(tmp_path / "text.txt"), cache).store.fingerprint != first.fingerprint
    assert not list(cache.glob(".*"))


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path, corpus):
    cache = tmp_path / "cache"
    prepare(corpus, cache)
    (folder,) = cache.iterdir()
    folder.rename(cache / f".{folder.name}.{os.getpid()}.unfinished")
    assert prepare(corpus, cache).store.documents == 1
    assert list(cache.iterdir()) == [folder]


def test_a_damaged_store_is_made_again(tmp_path, corpus):
    cache = tmp_path / "cache"
    tokens = prepare(corpus, cache).store.tokens.tolist()  # a map of a file that shrinks may not be read
    (path,) = cache.glob("*/tokens")
    with path.open("r+b") as file:
        file.truncate(10)
    with pytest.raises(DataError, match="damaged"):
        TokenStore.open(path.parent)
    assert prepare(corpus, cache).store.tokens.tolist() == tokens


def test_progress_runs_to_the_end(tmp_path, corpus):
    seen = []
    prepare(corpus, tmp_path / "cache", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(TEXT), len(TEXT))


def test_a_cache_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path, corpus):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match="cache"):
        prepare(corpus, tmp_path / "cache")


def test_a_text_that_changes_while_it_is_read_leaves_nothing_half_made(tmp_path, corpus, monkeypatch):
    looked = preparing.survey

    def change(corpus):
        found = looked(corpus)
        (tmp_path / "text.txt").write_text("Größe")
        return found

    monkeypatch.setattr(preparing, "survey", change)
    with pytest.raises(DataError, match="not among the 19"):
        prepare(corpus, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_large_vocabularies_take_four_bytes(tmp_path):
    write_tokens(tmp_path, [[1, 70_000], [3]], 70_001, 1, "texts", "words")
    (tmp_path / "problems.jsonl").touch()
    store = TokenStore.open(tmp_path)
    assert store.tokens.tolist() == [1, 70_000, 3]
    assert store.tokens.dtype == np.uint32
    summary = json.loads((tmp_path / "tokens.json").read_text())
    assert (summary["count"], summary["fingerprint"], summary["vocabulary"]) == (3, "texts", "words")


def test_the_end_of_a_text_is_kept_to_measure_by(tmp_path, corpus):
    store = prepare(corpus, tmp_path / "cache").store
    learned, kept = store.split(0.1)
    assert len(learned) == int(0.9 * len(TEXT))
    assert np.array_equal(np.concatenate([learned, kept]), store.tokens)
    assert len(store.split(0.0)[1]) == 0


def test_sequences_are_tokens_that_follow_each_other():
    tokens = np.arange(100, dtype=np.uint16)
    got = sequences(tokens, torch.tensor([3, 90]), 5)
    assert got.tolist() == [[3, 4, 5, 6, 7], [90, 91, 92, 93, 94]]
    assert got.dtype == torch.int64
