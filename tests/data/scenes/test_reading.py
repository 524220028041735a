"""Every caption that can be written can be read, and says then what it was written of; nothing else can be read."""

import pickle
import random

import pytest

from sfumato.data.scenes import wordings as w
from sfumato.data.scenes.agreement import disagreements, least_disagreements
from sfumato.data.scenes.concepts import concepts
from sfumato.data.scenes.description import Group, Said
from sfumato.data.scenes.language import LANGUAGES, Language
from sfumato.data.scenes.phrases import caption
from sfumato.data.scenes.reading import LONGEST, Reader, ReadingError, read
from sfumato.data.scenes.relating import WAYS, can
from sfumato.data.scenes.sprites import shapes
from sfumato.data.scenes.strangers import with_stranger
from sfumato.errors import DataError

KNOWN = concepts()
NUMBER = {name: number for number, concept in enumerate(KNOWN) for name in concept.names}
READER = Reader(KNOWN)


def a(name, **facts):
    return Group(NUMBER[name], **facts)


def said(*groups, relation=None, background=None):
    return Said(groups, relation, background)


def told(name, known, count, complete=False):
    language, rng = Language.named(name, known), random.Random(5)
    drawn = [language.draw(rng) for _ in range(count)]
    return [(description, caption(description, known, rng, complete)) for description in drawn]


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("known", [KNOWN, shapes().concepts], ids=["emoji", "shapes"])
def test_every_caption_is_read_and_is_true_of_its_scene(name, known):
    reader = Reader(known)
    for description, text in told(name, known, 2000):
        assert least_disagreements(reader.readings(text), description) == [], text


def test_the_first_reading_is_nearly_always_true_too():
    pairs = told("full", KNOWN, 2000)
    assert sum(bool(disagreements(READER.read(text), description)) for description, text in pairs) <= 2


def test_a_complete_caption_is_read_completely():
    for description, text in told("full", KNOWN, 2000, complete=True):
        facts = said(*description.groups, relation=description.relation, background=description.background).claims
        assert max(reading.claims for reading in READER.readings(text)) >= facts, text


def test_a_word_that_means_nothing_is_passed_over_where_that_is_allowed():
    rng = random.Random(2)
    pairs = [(description, with_stranger(text, rng)) for description, text in told("full", KNOWN, 1000)]
    read_well = 0
    for description, text in pairs:
        try:
            read_well += not least_disagreements(READER.readings(text, strangers=1), description)
        except ReadingError:
            continue
    assert read_well >= 980, "a stranger is a known word by chance, but rarely"
    with pytest.raises(ReadingError, match="'flaidro', character 2: no caption has this word"):
        READER.read("a flaidro cat")
    with pytest.raises(ReadingError, match="'gree'"):
        READER.read("a flaidro gree cat", strangers=1)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("cat", said(a("cat"))),
        ("A  Kitty.", said(a("cat"))),
        ("cat, blue bg", said(a("cat"), background="blue")),
        ("on teal: 3 cats", said(a("cat", count=3), background="turquoise")),
        ("a orange orange on orange", said(a("orange", colour="orange"), background="orange")),
        ("the background is gray, one mouse", said(a("mouse"), background="grey")),
        ("draw me a cute tiny violet coloured dog upside-down at night!",
         said(a("dog", colour="purple", size="small", upside_down=True), background="night sky")),
        ("flipped jack-o'-lantern", said(a("pumpkin", upside_down=True))),
        ("four mice side by side in the lower half",
         said(a("mouse", count=4, place="bottom", arrangement="row"))),
        ("a pair of big green foxes", said(a("fox", count=2, colour="green", size="big", arrangement="pair"))),
        ("a couple of dice", said(a("die", count=2))),
        ("bow and arrow and fork and knife", said(a("bow and arrow"), a("fork and knife"))),
        ("in the top left is a sun", said(a("sun", place="top left"))),
        ("top: sun, bottom: moon", said(a("sun"), a("moon"), relation="above")),
        ("cat left, dog right", said(a("cat"), a("dog"), relation="left of")),
        ("dog to the right of 2 cats", said(a("cat", count=2), a("dog"), relation="left of")),
        ("below the sun is a moon", said(a("sun"), a("moon"), relation="above")),
        ("cat top hat", said(a("cat"), a("top hat"), relation="wearing")),
        ("dog and top hat on red cat", said(a("cat", colour="red"), a("top hat"), a("dog"), relation="wearing")),
        ("raccoon with glasses on", said(a("raccoon"), a("glasses"), relation="wearing")),
        ("a fox eating pizza in winter", said(a("fox"), a("pizza"), relation="holding", background="snow")),
        ("bucket with cat in it, and a bee", said(a("cat"), a("bucket"), a("bee"), relation="inside")),
        ("cat in bucket", said(a("cat"), a("bucket"), relation="inside")),
        ("cat in top hat", said(a("cat"), a("top hat"), relation="wearing")),
        ("tree hiding behind a car", said(a("car"), a("tree"), relation="in front of")),
        ("at the beach umbrella", said(a("umbrella"), background="beach")),
        ("cat & dog & two bees by the sea", said(a("cat"), a("dog"), a("bee", count=2), background="beach")),
        ("a red cat and a blue cat", said(a("cat", colour="red"), a("cat", colour="blue"))),
        ("a painting of a painting of", None),
        ("a painting of a painting", said(a("painting"))),
    ],
)  # fmt: skip
def test_captions_say_what_a_person_understands(text, meaning):
    if meaning is None:
        with pytest.raises(ReadingError):
            READER.read(text)
    else:
        assert READER.read(text) == meaning


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("apple on orange", said(a("apple"), background="orange"), said(a("apple"), a("orange"), relation="above")),
        ("a big wheel", said(a("ferris wheel")), said(a("wheel", size="big"))),
        ("green tea", said(a("tea")), said(a("tea", colour="green"))),
        ("cat with apple", said(a("cat"), a("apple")), said(a("cat"), a("apple"), relation="holding")),
        ("cat, crown", said(a("cat"), a("crown")), said(a("cat"), a("crown"), relation="wearing")),
        ("cat on the left and dog on the right", said(a("cat"), a("dog"), relation="left of"),
         said(a("cat", place="left"), a("dog", place="right"))),
    ],
)  # fmt: skip
def test_of_two_readings_the_first_claims_less(text, least, most):
    assert READER.readings(text) == (least, most)


@pytest.mark.parametrize(
    ("text", "word", "position"),
    [
        ("a wizard fighting a dragon in a storm", "fighting", 9),
        ("a wizard a dragon", "dragon", 11),
        ("the of cat cat blue", "of", 4),
        ("seven blue", "", 10),
        ("a cat to the left of", "", 20),
        ("", "", 0),
        ("  ,", ",", 2),
        ("cat dog", "dog", 4),
        ("two cat", "cat", 4),
        ("cats", "cats", 0),
        ("a cat and a cat", "cat", 12),
        ("a house wearing a top hat", "hat", 22),
        ("a cat wearing a house", "house", 16),
        ("a cat eating a guitar", "guitar", 15),
        ("red blue cat", "blue", 4),
        ("ten cats", "ten", 0),
        ("a cat on a blue background on a red background", "on", 27),
        ("cat {x} dog", "{", 4),
    ],
)
def test_what_is_no_caption_is_refused_with_the_word_and_its_place(text, word, position):
    with pytest.raises(ReadingError) as caught:
        READER.read(text)
    assert (caught.value.word, caught.value.position) == (word, position)
    assert text[position:].lower().startswith(word)
    assert isinstance(caught.value, DataError)
    assert pickle.loads(pickle.dumps(caught.value)).position == position


def test_what_is_far_too_long_is_refused_at_once():
    with pytest.raises(ReadingError, match=rf"at most {LONGEST} characters"):
        READER.read("a cat and " * 100_000)
    with pytest.raises(ReadingError, match="'and', character 20"):
        READER.read("cat and dog and bee and " * (LONGEST // 24))


def pair(relation, fits):
    numbers = range(len(KNOWN))
    return next(
        (one, two)
        for two in numbers
        for one in numbers[:60]
        if one != two and can(relation, KNOWN[one], KNOWN[two]) and fits(KNOWN[one], KNOWN[two])
    )


@pytest.mark.parametrize("relation", WAYS)
def test_every_wording_of_a_relation_is_read(relation):
    for templates, fits in WAYS[relation]:
        one, two = pair(relation, fits)
        for template in templates:
            text = template.format(a=KNOWN[one].name, b=KNOWN[two].name, is_a="is", is_b="are", it_a="it", it_b="them")
            assert said(Group(one), Group(two), relation=relation) in READER.readings(text), text


def test_every_other_wording_is_read():
    cat, dog, bee = a("cat"), a("dog"), a("bee")
    names = {"a": "a cat", "b": "the dog", "c": "one bee", "is_a": "is"}
    for template in w.TOGETHER + w.ACCOMPANIED + w.MEETING:
        assert READER.read(template.format(**names)) == said(cat, dog), template
    for template in w.THREE:
        assert READER.read(template.format(**names)) == said(cat, dog, bee), template
    for place, words in w.PLACES.items():
        for template in w.PLACED:
            for word in words:
                placed = template.format(place=word, **names)
                assert said(a("cat", place=place)) in READER.readings(placed), placed
    for template in w.REQUESTS + w.CLOSINGS:
        assert READER.read(template.format(x="a cat", is_a="is")) == said(cat), template
    for template in w.BACKGROUND:
        text = template.format(x="a cat", colour="violet", a_colour="a violet")
        assert READER.read(text) == said(cat, background="purple"), template
    for background, templates in w.SCENERY.items():
        for template in templates:
            assert READER.read(template.format(x="cat")) == said(cat, background=background), template


def test_one_caption_is_read_without_keeping_a_reader():
    assert read("two cats", list(KNOWN)) == said(a("cat", count=2))
    assert read("two cats", KNOWN).description().background == "white"
