"""Captions come out clean, whatever bytes they were written in."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.data.captions import MAX_LENGTH, captions_of, class_captions, clean, decoded, describe, lines, tidy
from sfumato.data.report import Report
from sfumato.errors import DataError

TEXT = "ein Käfer – naïve “red”"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_every_usual_encoding_is_read(encoding) -> None:
    report = Report()
    assert decoded(TEXT.encode(encoding), "a.txt", report) == TEXT
    assert [p.reason for p in report] == (["not UTF-8: read as Windows-1252"] if encoding == "cp1252" else [])


@pytest.mark.parametrize("order", ["le", "be"])
def test_both_byte_orders_of_utf16_are_read(order) -> None:
    assert decoded(("\ufeff" + TEXT).encode(f"utf-16-{order}"), "a.txt", Report()) == TEXT


@given(st.binary(max_size=60))
def test_any_bytes_become_text(data) -> None:
    assert isinstance(decoded(data, "a.txt", Report()), str)


def test_broken_utf16_is_noted() -> None:
    report = Report()
    assert decoded(b"\xff\xfea\x00b", "a.txt", report) == "a"
    assert next(iter(report)).kept


@given(st.text(max_size=60))
def test_clean_text_is_normal_spaced_and_stays_as_it_is(text) -> None:
    result = clean(text)
    assert result == clean(result) == unicodedata.normalize("NFC", result)
    assert "  " not in result
    assert result == result.strip()
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in result)


def test_clean_removes_control_characters_and_keeps_emoji() -> None:
    assert clean("\ufeff a\tred\x00\x1b\n\u202e cat\u00a0\ud800 👩‍🚀 ") == "a red cat 👩‍🚀"
    assert clean("Cafe\u0301") == "Café"


def test_ten_thousand_characters_are_cut_between_words_and_noted() -> None:
    report = Report()
    (caption,) = tidy(["word " * 2000], "a.jpg", report)
    assert len(caption) <= MAX_LENGTH
    assert caption.endswith("word")
    assert [p.reason for p in report] == ["long caption: 9,999 characters, cut to 2,000"]
    assert tidy(["x" * 10_000], "a.jpg", report) == ("x" * MAX_LENGTH,)


def test_empty_and_repeated_captions_are_left_out() -> None:
    assert tidy(["", " \n", "a  cat", "a cat", "\x00"], "a.jpg", Report()) == ("a cat",)


def test_captions_are_found_under_their_usual_names() -> None:
    record = {"Text": "a", "caption_2": "b", "captions": ["c", "d", 5], "texture": "no", "prompt": None, "url": "no"}
    assert captions_of(record) == ["a", "b", "c", "d"]
    assert captions_of(["a", "b"]) == ["a", "b"]
    assert captions_of("a") == ["a"]
    assert captions_of(7) == []


@pytest.mark.parametrize(
    ("folder", "words"),
    {
        "dress": "dress",
        "ankle_boot": "ankle boot",
        "T-shirt": "T shirt",
        "7": "7",
        "n02085620-Chihuahua": "Chihuahua",
        "001.Black_footed_Albatross": "Black footed Albatross",
    }.items(),
)
def test_folder_names_become_words(folder, words) -> None:
    assert class_captions(folder)[0] == words


def test_class_captions_have_articles() -> None:
    assert class_captions("dress") == ("dress", "a photo of a dress", "a picture of a dress")
    assert class_captions("jeans")[1] == "a photo of jeans"
    assert class_captions("apple")[1] == "a photo of an apple"
    assert class_captions("__") == ()


def test_the_caption_file_wins_over_the_class() -> None:
    assert describe("a.jpg", {".txt": b"one\ntwo\n"}, "dress", Report()) == ("one", "two")
    assert describe("a.jpg", {".json": b'{"width": 5}'}, "dress", Report())[0] == "dress"
    assert describe("a.jpg", {".txt": b"", ".json": b'"three"'}, None, Report()) == ("three",)


@pytest.mark.parametrize(
    ("sidecars", "reason"),
    [
        ({}, "no caption"),
        ({".txt": b""}, "empty caption"),
        ({".txt": b" \n\x00\n"}, "empty caption"),
        ({".json": b'{"text": ""}'}, "empty caption"),
        ({".json": b'{"text": "a'}, "caption file is not JSON"),
        ({".json": b"[" * 100_000}, "caption file is not JSON"),
        ({".txt": b"a" * 2**21}, "caption file too large"),
    ],
)
def test_a_picture_without_words_is_refused_with_the_reason(sidecars, reason) -> None:
    with pytest.raises(DataError, match=f"^{reason}"):
        describe("a.jpg", sidecars, None, Report())


def test_one_odd_line_does_not_spoil_the_others(tmp_path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_bytes("Käse\n".encode() + "Käfer\n".encode("cp1252") + "Köln".encode())
    report = Report()
    assert list(lines(path, "metadata.csv", report)) == [(1, "Käse\n"), (2, "Käfer\n"), (3, "Köln")]
    assert [p.where for p in report] == ["metadata.csv:2"]
    path.write_bytes("a\nb\n".encode("utf-16"))
    assert list(lines(path, "metadata.csv", report)) == [(1, "a\n"), (2, "b\n")]


def test_an_endless_line_is_refused(tmp_path) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_bytes(b"x" * (17 * 2**20))
    with pytest.raises(DataError, match=r"metadata\.jsonl:1: a line of more than"):
        list(lines(path, "metadata.jsonl", Report()))
