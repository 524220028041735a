"""The digits are scikit-learn's, drawn dark on white, split once and for all."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sfumato.data.digits import WORDS, captions, digits
from sfumato.errors import DataError


def test_all_digits_equal_scikit_learns() -> None:
    reference = load_digits()
    entries = digits("all")
    ink = np.stack([np.frombuffer(entry.picture.ink, np.uint8).reshape(8, 8) for entry in entries])
    assert np.array_equal(ink, reference.images)
    assert [entry.label for entry in entries] == [WORDS[digit] for digit in reference.target]


def test_the_split_is_whole_disjoint_and_stratified() -> None:
    train, test, everything = digits("train"), digits("test"), digits("all")
    assert (len(train), len(test), len(everything)) == (1442, 355, 1797)
    names = {entry.picture.name for entry in train} | {entry.picture.name for entry in test}
    assert len(names) == 1797
    for word in WORDS:
        share = sum(entry.label == word for entry in test) / sum(entry.label == word for entry in everything)
        assert 0.19 < share <= 0.2


def test_the_split_never_changes() -> None:
    assert [entry.picture.name for entry in digits("test")[:4]] == FIRST_OF_TEST


FIRST_OF_TEST = ["digits/0008", "digits/0009", "digits/0039", "digits/0046"]


def test_digits_are_dark_on_white_at_any_size() -> None:
    entry = digits("all")[0]
    ink = np.frombuffer(entry.picture.ink, np.uint8).reshape(8, 8)
    for size in (4, 8, 32, 50):
        drawn = entry.picture.draw(size)
        assert (drawn.shape, drawn.dtype) == ((3, size, size), np.uint8)
        assert (drawn[0] == drawn[2]).all()
        assert drawn[0, 0, 0] > 240  # paper
    assert np.array_equal(entry.picture.draw(8)[0], np.round(255 * (1 - ink / 16)))
    assert entry.picture.draw(32).min() < 30


def test_captions_name_the_digit_in_words_and_figures() -> None:
    assert {"seven", "7", "a seven", "the digit 7", "a handwritten seven"} <= set(captions(7))
    assert {"an eight", "an 8", "a drawing of an eight"} <= set(captions(8))
    everything = [caption for digit in range(10) for caption in captions(digit)]
    assert len(everything) == len(set(everything)) == 200


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(DataError, match="train, test and all"):
        digits("validation")
