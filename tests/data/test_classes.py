"""Classes: a prompt means the class whose words it has."""

import pytest

from sfumato.data.classes import Classes
from sfumato.data.digits import WORDS, digits
from sfumato.errors import DataError


@pytest.fixture(scope="module")
def classes():
    entries = digits("test")
    return Classes.of([entry.captions for entry in entries], [entry.label for entry in entries])


def test_every_caption_of_a_digit_means_that_digit(classes):
    for entry in digits("test"):
        for caption in entry.captions:
            assert classes.names[classes.meant(caption)] == entry.label


@pytest.mark.parametrize("prompt", ["SEVEN!", "a handwritten 7, please", "an angry seven"])
def test_a_word_that_one_class_alone_has_decides_by_how_usual_it_is_there(classes, prompt):
    assert classes.names[classes.meant(prompt)] == "seven"


def test_a_prompt_without_such_a_word_means_no_class(classes):
    assert classes.meant("a handwritten digit") is None
    assert classes.meant("") is None


def test_classes_come_back_from_their_file(classes):
    again = Classes.from_dict(classes.to_dict())
    assert again.names == classes.names == tuple(sorted(WORDS))
    assert dict(again.words) == dict(classes.words)
    wrong = [{"names": ["a"], "words": {"x": [number, 0.5]}} for number in (3, 1, -1)]
    for broken in ({}, *wrong, {"names": [1], "words": {}}):
        with pytest.raises(DataError, match="no classes"):
            Classes.from_dict(broken)


def test_pictures_without_labels_are_one_class():
    classes = Classes.of([("a dog",), ("a cat",)], [None, None])
    assert (len(classes), classes.numbers([None, None])) == (1, [0, 0])
