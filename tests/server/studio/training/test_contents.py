"""What is in data is told before anything is trained, and what is wrong with them."""

import pytest
from PIL import Image

from addresses import opened
from sfumato.errors import DataError
from sfumato.server.studio.training.contents import SHOWN, SIDE, contents


@pytest.fixture
def folder(tmp_path):
    for number in range(20):
        Image.new("RGB", (40 + number, 300), (number * 10, 0, 0)).save(tmp_path / f"{number:02}.png")
        (tmp_path / f"{number:02}.txt").write_text(f"a red number {number % 5}")
    (tmp_path / "00.png").write_bytes(b"no picture")
    Image.new("RGB", (9, 9)).save(tmp_path / "without.png")
    (tmp_path / "other.heic").touch()
    return tmp_path


def test_pictures_and_captions_are_counted_and_some_are_shown(folder):
    told = contents(str(folder))
    assert (told.pictures, told.captions, told.different, told.words, told.classes) == (20, 20, 5, 4.0, 0)
    assert len(told.examples) == SHOWN - 1  # one cannot be opened
    assert all(max(opened(example.address).size) <= SIDE for example in told.examples)
    assert told.examples[-1].caption == "a red number 4"


def test_what_is_wrong_is_named(folder):
    names = {name for trouble in contents(str(folder)).troubles for name in trouble.names}
    assert {"00.png", "without.png", "other.heic"} <= names


def test_a_folder_without_pictures_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match="found no pictures"):
        contents(str(tmp_path))


def test_the_digits_are_there():
    told = contents("digits")
    assert (told.pictures, told.classes, len(told.examples), told.troubles) == (1797, 10, SHOWN, ())
