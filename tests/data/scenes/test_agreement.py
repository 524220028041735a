"""What a caption says is held against what is shown: every fact that differs is named, and only that."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from sfumato.data.scenes.agreement import FACTS, Disagreement, disagreements, least_disagreements
from sfumato.data.scenes.colours import BACKGROUNDS, TINTS
from sfumato.data.scenes.concepts import concepts
from sfumato.data.scenes.description import PLACES, SIZES, Description, Group, Said
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.phrases import caption
from sfumato.data.scenes.reading import Reader

KNOWN = concepts()
READER = Reader(KNOWN)
TURNED = {"left of": "right of", "above": "below", "in front of": "behind"}
TURNED |= {other: one for one, other in TURNED.items()} | dict.fromkeys(("wearing", "holding", "inside"), "behind")


def other(rng, choices, *taken):
    return rng.choice([choice for choice in choices if choice not in taken])


def altered(shown, said, fact, rng):
    """The scene with one fact changed that the caption states; None where it does not."""
    told = {group.concept: group for group in said.groups}
    if len(told) < len(said.groups) or set(told) != {group.concept for group in shown.groups}:
        return None
    if fact == "background":
        return said.background and replace(shown, background=other(rng, BACKGROUNDS, shown.background))
    if fact == "relation":
        return said.relation and shown.relation and replace(shown, relation=TURNED[shown.relation])
    number = rng.randrange(len(shown.groups))
    group = shown.groups[number]
    if fact == "thing":
        changed = replace(group, concept=other(rng, range(len(KNOWN)), *told))
    elif fact == "count":
        changed = replace(group, count=other(rng, range(1, 10), group.count))
    elif fact == "colour":
        changed = replace(group, colour=other(rng, [None, *TINTS], group.colour))
    elif fact == "way up":
        changed = replace(group, upside_down=not group.upside_down)
    elif fact == "size" and told[group.concept].size:
        changed = replace(group, size=other(rng, [None, *SIZES], group.size))
    elif fact == "place" and told[group.concept].place:
        changed = replace(group, place=other(rng, PLACES, group.place))
    elif fact == "arrangement" and told[group.concept].arrangement:
        changed = replace(group, arrangement=None)
    else:
        return None
    return replace(shown, groups=(*shown.groups[:number], changed, *shown.groups[number + 1 :]))


def test_the_fact_that_was_changed_is_named_and_no_other():
    language, rng = Language(KNOWN), random.Random(8)
    tried, named = Counter(), Counter()
    for _ in range(2500):
        shown = language.draw(rng)
        readings = READER.readings(caption(shown, KNOWN, rng))
        for fact in FACTS:
            if changed := altered(shown, readings[0], fact, rng):
                found = least_disagreements(readings, changed)
                tried[fact] += 1
                named[fact] += [each.fact for each in found] == [fact]
    assert all(tried[fact] > 10 for fact in FACTS), tried
    for fact in FACTS:
        assert named[fact] >= 0.98 * tried[fact], (fact, named[fact], tried[fact])


CAT, DOG, BEE = Group(0), Group(1), Group(2)
SHOWN = Description((replace(CAT, count=3, colour="red", size="small"), DOG), "left of", "blue")


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (Said(SHOWN.groups, "left of", "blue"), []),
        (Said((DOG, replace(CAT, count=3, colour="red"))), []),
        (Said((replace(CAT, count=2, colour="red"), DOG)), [Disagreement("count", 2, 3, 0)]),
        (Said((replace(CAT, count=3), DOG)), [Disagreement("colour", None, "red", 0)]),
        (Said((replace(SHOWN.groups[0], size="big"), DOG)), [Disagreement("size", "big", "small", 0)]),
        (Said((SHOWN.groups[0], replace(DOG, size="big"))), [Disagreement("size", "big", None, 1)]),
        (Said((SHOWN.groups[0], BEE), "left of"), [Disagreement("thing", 2, 1, 2)]),
        (Said((SHOWN.groups[0],)), [Disagreement("thing", None, 1, 1)]),
        (Said((*SHOWN.groups, BEE)), [Disagreement("thing", 2, None, 2)]),
        (Said(SHOWN.groups[::-1], "left of"), [Disagreement("relation", "left of", "left of")]),
        (Said(SHOWN.groups, None, "white"), [Disagreement("background", "white", "blue")]),
    ],
)
def test_each_fact_is_told_apart(said, wrong):
    assert disagreements(said, SHOWN) == wrong


def test_a_partial_caption_may_leave_out_things_and_looks():
    said = Said((replace(CAT, count=3),))
    assert disagreements(said, SHOWN, partial=True) == []
    assert [each.fact for each in disagreements(replace(said, groups=(CAT,)), SHOWN, partial=True)] == ["count"]


def test_exchanged_colours_are_two_wrong_colours_in_any_order():
    shown = Description((replace(CAT, colour="red"), replace(DOG, colour="blue")))
    said = Said((replace(DOG, colour="red"), replace(CAT, colour="blue")))
    assert [each.fact for each in disagreements(said, shown)] == ["colour", "colour"]
    assert disagreements(Said(shown.groups[::-1]), shown) == []


def test_places_state_relations():
    shown = Description((replace(CAT, place="right"), replace(DOG, place="left")))
    assert disagreements(Said((DOG, CAT), "left of"), shown) == []
    assert disagreements(Said((CAT, DOG), "left of"), shown) == [Disagreement("relation", "left of", None)]
    assert [each.fact for each in disagreements(Said((replace(CAT, place="left"), DOG)), shown)] == ["place"]


def test_of_several_readings_the_nearest_to_the_truth_counts():
    number = {concept.name: number for number, concept in enumerate(KNOWN)}
    both = Description((Group(number["apple"]), Group(number["orange"])), "above")
    readings = READER.readings("apple on orange")
    assert least_disagreements(readings, both) == []
    assert least_disagreements(readings, Description((Group(number["apple"]),), background="orange")) == []
    assert [each.fact for each in least_disagreements(readings, Description((Group(number["apple"]),)))] == [
        "background"
    ]
