"""Articles and plurals are right for the names people give to folders."""

import pytest

from sfumato.data.words import article, is_plural, with_article

PHRASES = """a dress, an apple, an eight, an 8, an 11, an 18, a 1, a 7, an hour, a uniform, a unicorn, an umbrella,
a European bird, an X ray, a used car, a one way sign, an uninvited guest, a T shirt, jeans, dresses, red shoes,
women, a glass, a bus, a ufo, an suv, an iris, a lens, a canvas, people"""


@pytest.mark.parametrize("phrase", [phrase.strip() for phrase in PHRASES.split(",")])
def test_a_phrase_stands_with_its_article(phrase) -> None:
    bare = phrase.removeprefix("a ").removeprefix("an ")
    assert with_article(bare) == phrase


def test_articles_and_plurals_are_judged_in_any_case() -> None:
    assert article("Apple") == "an"
    assert is_plural("SHOES")
    assert not is_plural("s")
