"""Long prompts are parted into windows as each program does it; short ones are what they always were."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.data.prompts import PROFILES, Piece, parse
from sfumato.data.tokens import Tokenizer
from sfumato.data.windows import Frame, Window, empty, windows
from sfumato.errors import PromptError

RECORDED = {name: json.loads((Path(__file__).parent / f"prompts_{name}.json").read_text()) for name in PROFILES[2:]}
CAPTIONS = RECORDED["a1111"]["captions"]
TOKENIZERS = {length: Tokenizer.train(CAPTIONS, RECORDED["a1111"]["vocab_size"], length) for length in (5, 12, 40, 77)}
WORDS = st.lists(st.sampled_from(["a", "cat", "painter", "unknownwords", ",", "(red:1.3)", "[sea]"]), max_size=60)


def windows_of(text: str, length: int, profile: str) -> tuple[Window, ...]:
    tokenizer = TOKENIZERS[length]
    (branch,) = parse(text, profile)
    return windows(branch.chunks, tokenizer.numbers, tokenizer.frame, profile)


@pytest.mark.parametrize("profile", RECORDED)
def test_windows_are_the_programs_own(profile) -> None:
    for length, text, expected in RECORDED[profile]["windows"]:
        found = windows_of(text, length, profile)
        assert [list(window.ids) for window in found] == [ids for ids, _ in expected], (length, text)
        for window, (_, weights) in zip(found, expected, strict=True):
            assert window.weights == pytest.approx(weights, abs=1e-8)


@pytest.mark.parametrize("profile", PROFILES)
@given(text=st.text(st.characters(exclude_characters="()[]\\:", exclude_categories=["Cs", "Cc"]), max_size=12))
def test_a_short_text_is_encoded_as_ever(profile, text) -> None:
    tokenizer = TOKENIZERS[77]
    (window,) = windows_of(text, 77, profile)
    assert list(window.ids) == tokenizer.encode([text])[0].tolist()
    assert window.plain


@given(words=WORDS, length=st.sampled_from([5, 12, 40, 77]))
def test_diffusers_keeps_the_first_window(words, length) -> None:
    text = " ".join(words)
    (window,) = windows_of(text, length, "diffusers")
    assert list(window.ids) == TOKENIZERS[length].encode([text])[0].tolist()


@pytest.mark.parametrize("profile", ["sfumato", "a1111", "comfyui"])
@given(words=WORDS, length=st.sampled_from([12, 40, 77]))
def test_no_token_is_lost_or_moved(profile, words, length) -> None:
    text, tokenizer = " ".join(words), TOKENIZERS[length]
    frame = tokenizer.frame
    found = windows_of(text, length, profile)
    assert {len(window.ids) for window in found} == {length}
    kept = [pair for window in found for pair in zip(window.ids, window.weights, strict=True)]
    kept = [pair for pair in kept if pair[0] not in (frame.start, frame.end)]
    (chunk,) = parse(text, profile)[0].chunks
    assert kept == [(n, piece.weight) for piece in chunk for word in tokenizer.numbers(piece.text) for n in word]


@given(words=WORDS)
def test_our_windows_part_no_word(words) -> None:
    tokenizer = TOKENIZERS[40]
    whole = {tuple(word) for word in tokenizer.numbers("a cat painter unknownwords , red sea")}
    for window in windows_of(" ".join(words), 40, "sfumato"):
        row = [number for number in window.ids if number not in (tokenizer.start_id, tokenizer.end_id)]
        while row:
            word = next((word for word in whole if tuple(row[: len(word)]) == word), None)
            assert word, row
            row = row[len(word) :]


def read(window: Window, tokenizer: Tokenizer) -> str:
    names = {tokenizer.numbers(word)[0][0]: word for word in ("a", "cat", "sea", ",")}
    return " ".join(names.get(number, "?") for number in window.ids if number not in (577, 578))


def test_our_windows_part_behind_a_near_comma_and_at_break() -> None:
    tokenizer = TOKENIZERS[12]
    assert (tokenizer.start_id, tokenizer.end_id) == (577, 578)

    def rows(text: str) -> list[str]:
        return [read(window, tokenizer) for window in windows_of(text, 12, "sfumato")]

    assert rows("a a a a a a a a , cat cat sea") == ["a a a a a a a a ,", "cat cat sea"]
    assert rows("a a a a a a a , cat cat sea") == ["a a a a a a a ,", "cat cat sea"]
    assert rows("a a a a a a , cat cat cat sea") == ["a a a a a a , cat cat cat", "sea"]
    assert rows("a a a , cat cat cat cat cat cat sea") == ["a a a , cat cat cat cat cat cat", "sea"]
    assert rows("a BREAK cat, sea BREAK sea") == ["a", "cat , sea", "sea"]
    assert rows("BREAK") == [""]


def test_a_word_longer_than_a_window_is_parted() -> None:
    found = windows_of("zyxzyxzyxzyx a", 5, "sfumato")
    assert [len([n for n in window.ids if n not in (577, 578)]) for window in found] == [3, 3, 3, 3, 1]
    for profile in ("a1111", "comfyui"):
        assert len(windows_of("zyxzyxzyxzyx a", 5, profile)) == 5
    assert windows_of("(zyxz)", 5, "comfyui")[0].weights == pytest.approx((1, 1.1, 1.1, 1.1, 1))


def test_padding_is_the_tokenizers_own_and_an_encoder_may_have_no_start() -> None:
    frame = Frame(length=6, start=None, end=1, pad=0, endless=True)
    chunks = [[Piece("a"), Piece("b", 1.5)], [Piece("c")]]
    (window,) = windows(chunks, lambda text: [[ord(text)]], frame)
    assert window == Window((97, 98, 99, 1, 0, 0), (1, 1.5, 1, 1, 1, 1))
    (window,) = windows([[Piece("a" * 9)]], lambda text: [[ord(letter) for letter in text]], frame, "comfyui")
    assert window.ids == (97,) * 5 + (1,)
    assert empty(Frame(length=4, start=7, end=8, pad=0)).ids == (7, 8, 0, 0)


@pytest.mark.parametrize("profile", ["sfumato", "a1111", "comfyui"])
def test_a_prompt_of_too_many_windows_is_refused(profile) -> None:
    assert len(windows_of("cat " * 3 * 64, 5, profile)) == 64
    with pytest.raises(PromptError, match="more than 64 windows of 3 tokens"):
        windows_of("cat " * (3 * 64 + 1), 5, profile)
