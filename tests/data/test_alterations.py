"""Captions with one word exchanged: for others of its kind, never for nothing."""

import random

from sfumato.data.alterations import Alterations

COLOURS, THINGS = ("red", "blue", "green"), ("cat", "dog", "elephant")
CAPTIONS = [f"a {colour} {thing}, close up" for colour in COLOURS for thing in THINGS]


def altered(caption, count=50):
    return Alterations.of(CAPTIONS).altered(caption, count, random.Random(0))


def test_words_are_exchanged_for_others_of_their_kind():
    expected = {f"a {c} cat, close up" for c in ("blue", "green")} | {f"a red {t}, close up" for t in THINGS[1:]}
    assert set(altered("a red cat, close up")) == expected


def test_every_place_has_its_turn_before_any_has_a_second():
    two = altered("a red cat, close up", 2)
    assert {text.split()[1] == "red" for text in two} == {True, False}


def test_two_words_of_a_kind_change_places():
    assert "a blue cat and a red dog" in altered("a red cat and a blue dog")


def test_articles_fit_the_new_word():
    known = Alterations.of(["a cat sleeps", "an elephant sleeps", "a bird sings", "an ape sings"])
    assert "an elephant sleeps" in known.altered("a cat sleeps", 20, random.Random(0))


def test_the_caption_itself_is_never_given_nor_anything_twice():
    texts = altered("A Red cat, close up")
    assert len(texts) == len(set(texts)) > 0
    assert all(text.lower() != "a red cat, close up" for text in texts)


def test_words_that_all_captions_share_and_words_that_nobody_knows_are_left_alone():
    assert altered("close up a zebra") == []
    assert altered("") == []


def test_the_same_chance_gives_the_same_captions():
    assert altered("a red cat, close up", 3) == altered("a red cat, close up", 3)


def test_common_words_that_can_be_foreseen_tell_no_fact_but_common_facts_do():
    captions = [f"a {thing} on {the} table" for thing in THINGS for the in ("the", "the", "the", "a") for _ in range(9)]
    known = Alterations.of(captions).exchanges
    assert not {"a", "on", "the", "table"} & known.keys()
    assert set(known["cat"]) == {"dog", "elephant"}
