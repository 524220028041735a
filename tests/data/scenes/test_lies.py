"""A lie is wrong in one stated fact, and sounds like the truth."""

import random
from collections import Counter

import pytest

from sfumato.data.scenes.agreement import least_disagreements
from sfumato.data.scenes.concepts import concepts
from sfumato.data.scenes.description import Description, Group
from sfumato.data.scenes.language import LANGUAGES, Language
from sfumato.data.scenes.lies import LIED, Liar
from sfumato.data.scenes.phrases import vocabulary, words
from sfumato.data.scenes.reading import Reader
from sfumato.errors import DataError

KNOWN = concepts()[:80]
READER, WORDS = Reader(KNOWN), vocabulary(KNOWN)
LIARS = {name: Liar(Language.named(name, KNOWN)) for name in LANGUAGES}


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_lie_is_wrong_in_the_fact_it_names_and_true_of_its_own_description(name):
    liar, rng, facts = LIARS[name], random.Random(4), Counter()
    for _ in range(400):
        shown = liar.language.draw(rng)
        lie = liar.lie(shown, rng)
        readings = READER.readings(lie.caption)
        assert [wrong.fact for wrong in least_disagreements(readings, shown)] == [lie.fact], lie
        assert least_disagreements(readings, lie.description) == [], lie
        assert WORDS.issuperset(words(lie.caption))
        facts[lie.fact] += 1
    assert set(facts) == (set(LIED) if name == "full" else {"thing", "count", "place", "relation", "background"})


@pytest.mark.parametrize("fact", LIED)
def test_a_fact_that_is_asked_for_is_lied_about(fact):
    shown = Description((Group(0, 2, "red", "small", place="left"), Group(1, colour="blue", place="right")))
    if fact == "relation":
        shown = Description((Group(0), Group(1)), "above")
    for complete in (False, True):
        assert LIARS["full"].lie(shown, random.Random(1), fact, complete).fact == fact


def test_the_same_chance_tells_the_same_lie():
    liar, shown = LIARS["full"], Description((Group(0, 3), Group(1)))
    assert liar.lie(shown, random.Random(6)) == liar.lie(shown, random.Random(6))
    assert len({liar.lie(shown, random.Random(seed)).caption for seed in range(20)}) > 15


def test_an_exchanged_caption_is_readable_and_wrong():
    liar, rng, shown = LIARS["narrow"], random.Random(0), Description((Group(0),))
    for _ in range(100):
        assert least_disagreements(READER.readings(liar.exchanged(shown, rng)), shown)


def test_a_thing_in_a_corner_is_not_said_to_be_at_a_side_of_it():
    rng, shown = random.Random(0), Description((Group(0, place="top left"),))
    places = {LIARS["full"].lie(shown, rng, "place").description.groups[0].place for _ in range(60)}
    assert places == {"right", "bottom", "centre", "top right", "bottom left", "bottom right"}


@pytest.mark.parametrize(
    ("fact", "message"), [("weather", "no lies about 'weather'"), ("colour", "nothing else can be said of colour")]
)
def test_what_cannot_be_lied_about_is_refused(fact, message):
    with pytest.raises(DataError, match=message):
        LIARS["full"].lie(Description((Group(0),)), random.Random(0), fact)
