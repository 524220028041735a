"""Captions that lie by one fact do lie, and by that fact."""

import random

import pytest

from sfumato.data.scenes.description import Description, Group
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.lying import LIES, lie
from sfumato.data.scenes.phrases import words
from sfumato.data.scenes.sprites import shapes

LANGUAGE = Language(shapes().concepts)
SCENE = Description((Group(0, count=2, colour="red", place="left"), Group(1, colour="blue", place="right")))


@pytest.mark.parametrize("how", LIES)
def test_a_scene_with_every_fact_can_be_lied_about_in_every_way(how):
    told = {lie(SCENE, how, LANGUAGE, random.Random(seed)) for seed in range(20)}
    assert None not in told
    assert len(told) > 10


def test_a_wrong_colour_or_count_is_told_in_place_of_the_right_one():
    single = Description((Group(0, colour="red"),))
    for seed in range(30):
        colour = lie(single, "colour", LANGUAGE, random.Random(seed))
        assert not {"red", "scarlet"} & set(words(colour)), colour
        count = lie(single, "count", LANGUAGE, random.Random(seed))
        assert LANGUAGE.concepts[0].name not in words(count), count  # the plural stands there


def test_a_wrong_thing_is_not_one_that_is_there():
    for seed in range(30):
        text = lie(Description((Group(0),)), "thing", LANGUAGE, random.Random(seed))
        assert not set(LANGUAGE.concepts[0].names) & set(words(text)), text


def test_what_has_no_place_cannot_be_misplaced():
    assert lie(Description((Group(0),)), "place", LANGUAGE, random.Random(0)) is None


def test_a_relation_of_places_is_turned_round():
    above = Description((Group(0), Group(1)), relation="above")
    assert all(lie(above, "place", LANGUAGE, random.Random(seed)) for seed in range(10))
