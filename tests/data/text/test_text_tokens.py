"""Texts come back from their numbers, and transformers reads the same numbers from the same folder."""

import json

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from sfumato.data.text.tokens import END, Decoding, TextTokenizer
from sfumato.errors import CheckpointError, DataError

TEXTS = [
    "the cat sat on the mat. The cat saw\na naïve café, 北京 👩‍🚀!!!  \n\n",
    "don't they're 12345 \t<|endoftext|>x",
]
BYTES = TextTokenizer.train(TEXTS * 3, 320)
CHARACTERS = TextTokenizer.of_characters(TEXTS, end=True)


@pytest.mark.parametrize("tokenizer", [BYTES, CHARACTERS], ids=["bytes", "characters"])
@pytest.mark.parametrize("text", [*TEXTS, "", "the"])
def test_a_text_comes_back_and_a_saved_tokenizer_is_the_same(tokenizer, text, tmp_path):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert max(ids, default=0) < tokenizer.vocab_size
    assert tokenizer.end_id not in ids
    assert tokenizer.decode([*ids, tokenizer.end_id]) == text
    tokenizer.save(tmp_path)
    again = TextTokenizer.load(tmp_path)
    assert again.encode(text) == ids
    told = "kind", "vocab_size", "end_id", "start_ids"
    assert [getattr(again, name) for name in told] == [getattr(tokenizer, name) for name in told]


@pytest.mark.parametrize("tokenizer", [BYTES, CHARACTERS], ids=["bytes", "characters"])
def test_transformers_opens_the_folder_with_the_same_numbers(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    text = TEXTS[0]
    assert theirs(text)["input_ids"] == tokenizer.encode(text)
    assert theirs.decode(tokenizer.encode(text)) == text
    assert theirs.eos_token_id == tokenizer.end_id


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bytes_read_any_text(text):
    assert BYTES.decode(BYTES.encode(text)) == text


def test_training_twice_gives_the_same_tokenizer_and_common_words_become_one_token():
    assert TextTokenizer.train(TEXTS * 3, 320).encode(TEXTS[0]) == BYTES.encode(TEXTS[0])
    assert len(BYTES.encode(" cat")) == 1
    assert BYTES.vocab_size <= 320
    assert TextTokenizer.train([], 4096).vocab_size == 257


def test_an_unknown_character_is_named_with_its_place():
    with pytest.raises(DataError, match=r"'Z' \(U\+005A\), number 5 of the text, is not among the"):
        CHARACTERS.encode("the Zoo")
    assert CHARACTERS.encode("the \ud800".replace("\ud800", "")) == CHARACTERS.encode("the ")
    assert BYTES.decode(BYTES.encode("half \ud800")) == "half ?"


def test_texts_that_cannot_make_a_vocabulary_are_refused():
    with pytest.raises(DataError, match="at least one character"):
        TextTokenizer.of_characters(["", ""])
    with pytest.raises(DataError, match="at least 257 tokens, not 200"):
        TextTokenizer.train(TEXTS, 200)


@pytest.mark.parametrize("tokenizer", [BYTES, CHARACTERS], ids=["bytes", "characters"])
def test_text_that_comes_token_by_token_is_whole_at_every_piece(tokenizer):
    decoding = Decoding(tokenizer)
    pieces = [decoding.add(token) for token in tokenizer.encode(TEXTS[0])]
    assert "".join(pieces) + decoding.end() == TEXTS[0]
    assert all("\ufffd" not in piece for piece in pieces)


def test_bytes_that_never_become_a_character_are_told_at_the_end():
    decoding = Decoding(BYTES)
    cut = BYTES.encode("€")[:1]
    assert decoding.add(*BYTES.encode("t")) == "t"
    assert decoding.add(*cut) == ""
    assert decoding.end() == "\ufffd"


def test_what_stands_before_every_text_is_told_and_no_part_of_it():
    model = tokenizers.Tokenizer.from_str(BYTES._tokenizer.to_str())
    model.add_special_tokens(["<s>"])
    start = model.token_to_id("<s>")
    model.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", start)])
    llama = TextTokenizer(model, END)
    assert llama.start_ids == [start]
    assert llama.encode("the cat") == BYTES.encode("the cat")
    assert llama.decode([*llama.start_ids, *llama.encode("the cat")]) == "the cat"


def test_the_files_of_gpt2_are_read(tmp_path):
    BYTES.save(tmp_path)
    whole = json.loads((tmp_path / "tokenizer.json").read_text())
    other = tmp_path / "gpt2"
    other.mkdir()
    (other / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in whole["model"]["merges"])]
    (other / "merges.txt").write_text("\n".join(lines) + "\n")
    again = TextTokenizer.load(other)
    assert again.encode(TEXTS[0]) == BYTES.encode(TEXTS[0])
    assert again.end_id == BYTES.end_id == whole["model"]["vocab"][END]


def test_broken_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        TextTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is no tokenizer"):
        TextTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    (tmp_path / "merges.txt").write_text("a b\n")
    with pytest.raises(CheckpointError, match="merges do not fit"):
        TextTokenizer.load(tmp_path)
