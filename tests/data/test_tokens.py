"""Tokens equal those of transformers' CLIPTokenizer, for any text and any tokenizer folder."""

import json
import random
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from sfumato.data.digits import digits
from sfumato.data.tokens import END, START, Tokenizer
from sfumato.errors import CheckpointError, DataError, StorageError

CAPTIONS = [caption for entry in digits("test") for caption in entry.captions]
CAPTIONS += ["## ## heading ##", "naïve café don't 北京 👩‍🚀!!!", "naïve café they're 北京 👩‍🚀!!!"] * 3
TEXTS = [
    *CAPTIONS[:12],
    "",
    "   \n ",
    "A PHOTO of a Seven,   isn't it?!",
    "Cafe\u0301 naïve ÅNGSTRÖM İstanbul",
    "## # ### #hashtag",
    "日本語 हिन्दी العربية 👩‍🚀\u200b\x00\x1f\u00a0\u2028",
    "a <|endoftext|> b <|startoftext|> c<|endoftext|>",
    "!!! ! wow!",
    "1234567 3.14 x²",
    "word " * 100,
    "x" * 500,
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(CAPTIONS, vocab_size=700, length=32)


def clip_numbers(folder, texts, length) -> list[list[int]]:
    reference = CLIPTokenizer.from_pretrained(folder)
    return reference(texts, padding="max_length", truncation=True, max_length=length)["input_ids"]


def test_transformers_reads_the_folder_with_identical_numbers(tokenizer, tmp_path) -> None:
    tokenizer.save(tmp_path)
    reference = CLIPTokenizer.from_pretrained(tmp_path)
    assert (reference.model_max_length, reference.vocab_size) == (32, tokenizer.vocab_size)
    assert tokenizer.encode(TEXTS).tolist() == clip_numbers(tmp_path, TEXTS, 32)
    for text in TEXTS:
        assert tokenizer.tokens(text) == reference.tokenize(text)


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_has_identical_numbers(text, tmp_path_factory) -> None:
    if not REFERENCE:
        folder = tmp_path_factory.mktemp("tokenizer")
        ours = Tokenizer.train(CAPTIONS, vocab_size=700, length=77)
        ours.save(folder)
        REFERENCE.extend((ours, CLIPTokenizer.from_pretrained(folder)))
    ours, theirs = REFERENCE
    assert ours.encode([text])[0].tolist() == theirs(text, padding="max_length", truncation=True)["input_ids"]


REFERENCE: list = []


def test_saved_and_loaded_is_the_same_tokenizer(tokenizer, tmp_path) -> None:
    tokenizer.save(tmp_path / "deep" / "tokenizer")
    loaded = Tokenizer.load(tmp_path / "deep" / "tokenizer")
    assert torch.equal(loaded.encode(TEXTS), tokenizer.encode(TEXTS))
    assert (loaded.length, loaded.vocab_size) == (32, tokenizer.vocab_size)
    assert loaded.unknown_words("a zebra") == ["zebra"]


ADDED = {"__type": "AddedToken", "content": "!", "lstrip": False, "rstrip": False, "single_word": False}


@pytest.mark.parametrize("pad", ["!", ADDED | {"normalized": True}, ADDED | {"normalized": False}, END])
@pytest.mark.parametrize("place", ["tokenizer_config.json", "special_tokens_map.json"])
def test_folders_of_other_models_pad_as_they_say(tokenizer, tmp_path, pad, place) -> None:
    tokenizer.save(tmp_path)
    (tmp_path / "words.txt").unlink()
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    if place == "tokenizer_config.json":
        config["pad_token"] = pad
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 77}))
    if place == "special_tokens_map.json":
        pad = {key: pad[key] for key in pad if key != "__type"} if isinstance(pad, dict) else pad
        (tmp_path / place).write_text(json.dumps({"pad_token": pad}))
    loaded = Tokenizer.load(tmp_path)
    assert loaded.pad_id == (loaded.end_id if pad == END else 0)
    assert loaded.encode(TEXTS).tolist() == clip_numbers(tmp_path, TEXTS, 77)
    assert loaded.unknown_words("anything") == []


def test_a_folder_saved_by_transformers_is_read(tokenizer, tmp_path) -> None:
    tokenizer.save(tmp_path / "ours")
    CLIPTokenizer.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    loaded = Tokenizer.load(tmp_path / "theirs")
    assert torch.equal(loaded.encode(TEXTS), tokenizer.encode(TEXTS))


def test_clips_own_numbering_begins_with_the_printable_bytes(tokenizer, tmp_path) -> None:
    tokenizer.save(tmp_path)
    vocabulary = json.loads((tmp_path / "vocab.json").read_text())
    known = {"!": 0, "a": 64, "~": 93, "¡": 94, "ÿ": 187, "Ā": 188, "Ń": 255, "!</w>": 256, "a</w>": 320}
    assert {token: vocabulary[token] for token in known} == known
    assert vocabulary[START] == tokenizer.start_id == tokenizer.vocab_size - 2
    assert vocabulary[END] == tokenizer.end_id == tokenizer.pad_id == tokenizer.vocab_size - 1
    assert sorted(vocabulary.values()) == list(range(tokenizer.vocab_size))


def test_training_gives_the_same_files_in_any_order_and_process(tmp_path) -> None:
    # Random words have many pairs of equal frequency, whose order must not be left to chance.
    dice = random.Random(0)
    captions = [" ".join("".join(dice.choices("abcdefghij", k=5)) for _ in range(6)) for _ in range(200)]
    shuffled = dice.sample(captions, len(captions))
    Tokenizer.train(captions, 900).save(tmp_path / "a")
    Tokenizer.train(iter(shuffled), 900).save(tmp_path / "b")
    script = (
        "import sys, json; from pathlib import Path; from sfumato.data.tokens import Tokenizer;"
        "Tokenizer.train(json.load(sys.stdin), 900).save(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "c"], input=json.dumps(captions), text=True, check=True)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "words.txt"):
        first, *others = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert others == [first, first]


def test_frequent_words_become_one_token(tokenizer) -> None:
    assert tokenizer.tokens("A handwritten  SEVEN") == ["a</w>", "handwritten</w>", "seven</w>"]


def test_the_smallest_vocabulary_still_encodes_any_text() -> None:
    tokenizer = Tokenizer.train(["a cat"], vocab_size=514, length=16)
    assert tokenizer.vocab_size == 514
    assert tokenizer.tokens("né 🚀") == ["n", "Ã", "©</w>", "ð", "Ł", "ļ", "Ģ</w>"]
    assert tokenizer.encode(["né"])[0, :5].tolist().count(tokenizer.end_id) == 1
    assert Tokenizer.train([], vocab_size=600).vocab_size == 514


def test_texts_are_framed_cut_and_padded() -> None:
    tokenizer = Tokenizer.train(["cat dog " * 3], vocab_size=600, length=6)
    short, full, long = tokenizer.encode(["cat", "cat dog cat dog", "cat dog cat dog cat"]).tolist()
    assert short[:3] == [tokenizer.start_id, full[1], tokenizer.end_id]
    assert short[3:] == [tokenizer.pad_id] * 3
    assert full == long
    assert full[-1] == tokenizer.end_id
    assert tokenizer.encode([]).shape == (0, 6)


def test_the_part_that_does_not_fit_is_named() -> None:
    tokenizer = Tokenizer.train(["cat dog " * 3], vocab_size=600, length=6)
    assert tokenizer.truncated("Cat dog  cat dog") is None
    assert tokenizer.truncated("Cat dog  cat dog  Cat, DOG") == "Cat, DOG"
    assert tokenizer.truncated("") is None
    assert tokenizer.truncated("🚀 cat é cat dog") is not None


def test_unknown_words_are_those_no_caption_held(tokenizer) -> None:
    assert tokenizer.unknown_words("A handwritten ZEBRA, seven zebras & a zebra; CAFÉ 7 42") == [
        "zebra",
        "zebras",
        "42",
    ]


def test_lone_surrogates_are_survived(tokenizer) -> None:
    assert tokenizer.encode(["a \ud800 b"]).shape == (1, 32)
    assert Tokenizer.train(["\udcff"], 514).unknown_words("\udcff x") == []


@pytest.mark.parametrize(("size", "length"), [(513, 77), (600, 2)])
def test_too_small_a_tokenizer_is_refused(size, length) -> None:
    with pytest.raises(DataError, match="at least"):
        Tokenizer.train(["a"], size, length)


DAMAGE = {
    "vocab.json": [
        *(None, b"{", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"a": "b"}', b'{"a": -1}', b'{"a": 1e9}'),
        *(b'{"a": 1, "b": 1}', b'{"a": 0}', b'{"a": 99999999999}'),
    ],
    "merges.txt": [None, b"one two three", b"one", b"not there", b"\xff\xfe"],
    "tokenizer_config.json": [b"{", b"[]", b'{"model_max_length": "x"}', b'{"model_max_length": 0}'],
}


@pytest.mark.parametrize(("name", "content"), [(name, content) for name in DAMAGE for content in DAMAGE[name]])
def test_a_damaged_folder_is_refused_and_the_file_named(tokenizer, tmp_path, name, content) -> None:
    tokenizer.save(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        Tokenizer.load(tmp_path)


def test_an_oversized_file_is_refused_unread(tokenizer, tmp_path) -> None:
    tokenizer.save(tmp_path)
    with (tmp_path / "merges.txt").open("r+b") as file:
        file.truncate(2**31)  # sparse
    with pytest.raises(CheckpointError, match=r"merges\.txt: larger than"):
        Tokenizer.load(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_storage_error(tokenizer, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        tokenizer.save(tmp_path / "file" / "folder")
