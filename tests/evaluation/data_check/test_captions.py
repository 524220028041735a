"""Captions that tell nothing, or are damaged, are found; real ones are left alone."""

import pytest

from sfumato.data.digits import digits
from sfumato.data.entries import Entry
from sfumato.data.scenes.sprites import shapes
from sfumato.data.scenes.stream import Scenes
from sfumato.evaluation.data_check.boilerplate import boilerplate, repeated
from sfumato.evaluation.data_check.encoding import damage
from sfumato.evaluation.data_check.judging import of_captions
from sfumato.evaluation.data_check.scripts import foreign, usual_script


def entries(*captions, label=None):
    return [
        Entry(drawing, (text,), label) for text, drawing in zip(captions, (e.picture for e in digits()), strict=False)
    ]


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("IMG_2031", "a camera's number"),
        ("DSC00012.JPG", "a file's name"),
        ("P1010123", "a camera's number"),
        ("PXL_20220101_120000", "a camera's number"),
        ("_MG_0231", "a camera's number"),
        ("Screenshot 2023-01-04 at 10.11.12", "a date"),
        ("WhatsApp Image 2020-05-01 at 10.00", "a date"),
        ("red-shirt_final.jpeg", "a file's name"),
        ("my photo.png", "a file's name"),
        ("https://shop.example/a?b=c", "an address"),
        ("www.example.com", "an address"),
        ("shutterstock.com/123", "an address"),
        ("123e4567-e89b-12d3-a456-426614174000", "a number without meaning"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "a number without meaning"),
        ("2020-01-02", "a number without meaning"),
        ("...", "no words"),
        ("image", "an empty phrase"),
        ("An image", "an empty phrase"),
        ("Untitled (3)", "an empty phrase"),
        ("No image available", "an empty phrase"),
        ("Click to enlarge", "a phrase of a web page"),
        ("Image may contain: person", "a phrase of a web page"),
        ("a mug, buy now at https://x.example", "a phrase of a web page"),
    ],
)
def test_captions_that_tell_nothing_are_known(caption, told):
    assert boilerplate(caption, "a.jpg")[0] == told


@pytest.mark.parametrize(
    "caption",
    [
        *("7", "a 7", "cat", "a photo of a cat", "an image of two dogs", "picture frame", "test pattern", "1950s car"),
        *("a page of a book", "samurai", "scan of a letter", "logo of a bakery", "image of the sea at 5 o'clock"),
        *("P-51 Mustang over the sea", "red, green; blue", "two people sign a paper", "ein Hund", "кошка", "猫"),
        *("a sample of cloth", "window", "movie", "Boeing 747-400", "Windows 95 box", "a cookie on a plate"),
    ],
)
def test_real_captions_are_left_alone(caption):
    found = boilerplate(caption, "a.jpg")
    assert found is None


def test_the_name_of_its_own_file_is_no_caption_unless_it_is_words():
    assert boilerplate("red_hat_final2", "shop/red_hat_final2.jpg")[0] == "the name of its file"
    assert boilerplate("cat", "cat.jpg") is None
    assert boilerplate("7", "7.png") is None


def test_no_caption_of_scenes_or_digits_is_wrong():
    stream = Scenes(shapes(), 5, strangers=0.05)
    told = [stream.caption(number) for number in range(300)]
    assert list(of_captions(entries(*told), range(300))) == []
    numbers = digits()
    assert list(of_captions(numbers, range(0, len(numbers), 50))) == []


def test_captions_under_many_pictures_are_told_but_those_of_classes_are_not():
    told = [f"scene {letter}" for letter in "abcdefgh"] * 2 + ["our summer sale"] * 12
    assert repeated(entries(*told)) == {"our summer sale": 12}
    assert repeated(entries(*told, label="x")) == {}


@pytest.mark.parametrize(
    "text", ["a café in München", "naïve façade – “quoted” €5", "Ærø, Ångström, ÀÉÎ", "Привет, мир", "日本の猫"]
)
def test_mojibake_is_repaired_to_the_letter_and_sound_text_is_left_alone(text):
    assert damage(text) is None
    try:
        spoilt = text.encode("utf-8").decode("cp1252")
    except UnicodeDecodeError:
        spoilt = text.encode("utf-8").decode("latin-1")
    if any(letter in spoilt for letter in "\x80\x81\x85\x8d\x8f\x90\x9d\xa0"):
        return  # what cleaning takes away cannot be brought back
    assert damage(spoilt).repaired == text


def test_text_that_was_spoilt_twice_is_repaired():
    twice = "café".encode().decode("cp1252").encode().decode("cp1252")
    assert damage(twice).repaired == "café"


def test_what_cannot_be_repaired_for_certain_is_told_without_a_repair():
    assert damage("voilÃ un chat Ã©t\ufffd").repaired is None
    assert damage("a caf\ufffd").reason == "unreadable letters"
    assert damage("a <b>cat</b>").repaired is None
    assert damage("a < b & c") is None


def test_only_whole_codes_are_repaired():
    assert damage("salt &amp; pepper at the rock&regatta").repaired == "salt & pepper at the rock&regatta"
    assert damage("?a=1&copy=2 &lt;b").repaired == "?a=1&copy=2 <b"


def test_repairs_are_no_longer_damaged():
    for text in ("salt &amp; pepper", "it&#39;s", "cafÃ©", "â€œquotedâ€\x9d"):
        assert damage(damage(text).repaired) is None


def test_other_scripts_stand_out_only_from_a_majority():
    latin = ["a cat", "ein Hund", "un été"] * 10
    assert usual_script(latin) == "LATIN"
    assert foreign("кошка сидит", "LATIN")[0].startswith("Cyrillic letters")
    assert foreign("a cat called Мурка, asleep on a very long sofa", "LATIN") is None
    assert foreign("猫がいる", usual_script(latin + ["猫"] * 30)) is None
    assert usual_script(["12", "!"]) is None


def test_a_word_in_two_alphabets_is_odd_anywhere():
    assert "Cyrillic and Latin" in foreign("a c\u0430t", None)[0]  # a Cyrillic a
    assert foreign("古い camera の写真です", "EAST ASIAN") is None
    assert foreign("α-helix of 5 µm", "LATIN") is None
