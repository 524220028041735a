"""Text is read exactly as it stands, in pieces; what is no text is refused with its place."""

import random
import tracemalloc

import pytest

from sfumato.data.text import reading
from sfumato.data.text.reading import pieces
from sfumato.data.text.tokens import TextTokenizer
from sfumato.errors import DataError

WORDS = ["a", "naïve", "cat\t", "\N{GRINNING FACE}", "don't", "\r\n", "\n", "\n\n  ", " ", "12,5", "日本語", "\u2028"]


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 64)


def written(tmp_path, content):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    return path


def words(seed, count=300):
    return " ".join(random.Random(seed).choices(WORDS, k=count))


@pytest.mark.parametrize("seed", range(5))
def test_the_pieces_are_the_text_with_all_its_line_ends(tmp_path, small_pieces, seed):
    text = words(seed)
    made = list(pieces(written(tmp_path, text.encode()), "text.txt"))
    assert "".join(made) == text
    assert len(made) > 5


@pytest.mark.parametrize("seed", range(5))
def test_the_pieces_give_the_tokens_of_the_whole(tmp_path, small_pieces, seed):
    text = words(seed)
    tokenizer = TextTokenizer.train([text], 400)
    made = pieces(written(tmp_path, text.encode()), "text.txt")
    assert [token for piece in made for token in tokenizer.encode(piece)] == tokenizer.encode(text)


def test_one_huge_line_is_read_in_pieces(tmp_path):
    path = written(tmp_path, b"abc " * 2_000_000 + b"x" * 8_000_000)
    tracemalloc.start()
    sizes = [len(piece) for piece in pieces(path, "text.txt")]
    assert tracemalloc.get_traced_memory()[1] < 12 * reading.PIECE
    tracemalloc.stop()
    assert sum(sizes) == 16_000_000
    assert max(sizes) < 2 * reading.PIECE


def test_a_byte_order_mark_is_left_out(tmp_path):
    assert list(pieces(written(tmp_path, "\ufeffhello".encode()), "text.txt")) == ["hello"]
    assert list(pieces(written(tmp_path, b""), "text.txt")) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a" * 20 + b"\0tail", "byte 20 is zero; this is a binary file"),
        (b"a" * 20 + b"\xff tail", "not UTF-8 at byte 20"),
        (b"a" * 63 + "é".encode()[:1] + b" tail", "not UTF-8 at byte 63"),  # between two reads
        (b"a" * 20 + "日".encode()[:2], "not UTF-8 at byte 20"),
        (b"\xef\xbb\xbf" + b"a" * 20 + b"\xff", "not UTF-8 at byte 23"),
        ("hello".encode("utf-16"), "UTF-16 text; save it as UTF-8"),
        ("hello".encode("utf-32"), "UTF-32 text; save it as UTF-8"),
        (b"\xed\xa0\x80", "not UTF-8 at byte 0"),  # half a character
    ],
)
def test_what_is_no_text_is_refused_with_its_place(tmp_path, small_pieces, content, said):
    with pytest.raises(DataError, match=rf"^text\.txt: {said}"):
        list(pieces(written(tmp_path, content), "text.txt"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"text\.txt: cannot be read: No such file"):
        list(pieces(tmp_path / "text.txt", "text.txt"))
