"""What is drawn: every category in its share and mixed with others, with and without what is held out."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from sfumato.data.scenes.concepts import concepts
from sfumato.data.scenes.description import CATEGORIES, PLAIN, RELATIONS, TOUCHING, Description, Group, category
from sfumato.data.scenes.held_out import is_held_out
from sfumato.data.scenes.language import WEIGHTS, Language
from sfumato.data.scenes.sprites import shapes
from sfumato.errors import DataError


def drawn(language, count, **asked):
    rng = random.Random(1)
    return [language.draw(rng, **asked) for _ in range(count)]


@pytest.mark.parametrize("known", [shapes().concepts, concepts()[:150], concepts()], ids=["shapes", "few", "all"])
def test_every_category_has_its_share_in_training(known):
    language = Language(known)
    found = Counter(category(description) for description in drawn(language, 5000, held_out=False))
    for name, weight in WEIGHTS.items():
        assert found[name] / 5000 == pytest.approx(weight / sum(WEIGHTS.values()), abs=0.02), name


@pytest.mark.parametrize("name", CATEGORIES)
@pytest.mark.parametrize("held_out", [None, False, True])
def test_a_category_that_is_asked_for_is_drawn(name, held_out):
    language = Language(concepts()[:150])
    if name == "single" and held_out:
        with pytest.raises(DataError, match="'single' with these 150 concepts is held out"):
            language.draw(random.Random(0), name, held_out)
        return
    for description in drawn(language, 200, category=name, held_out=held_out):
        assert category(description) == name
        assert held_out is None or is_held_out(description, language.names) == held_out


def test_everything_that_can_be_said_is_drawn_and_mixed():
    found = drawn(Language(concepts()), 20_000)
    groups = [group for description in found for group in description.groups]
    assert {group.count for group in groups} == set(range(1, 10))
    assert {description.relation for description in found} == {None, *RELATIONS}
    assert {group.arrangement for group in groups} == {None, "row", "pair"}
    assert len({group.place for group in groups}) == 10
    assert len({description.background for description in found}) > 12
    assert any(group.upside_down for group in groups)
    for relation in RELATIONS:
        some = [description for description in found if description.relation == relation]
        assert any(group.colour for description in some for group in description.groups)
        assert any(description.background != PLAIN for description in some)
    mixed = [d for d in found if category(d) == "counting" and len(d.groups) == 2 and not d.relation]
    assert any(sorted(group.count for group in description.groups) == [1, 2] for description in mixed)


def test_roles_are_kept_to_and_no_colour_is_lost_before_its_background():
    known = concepts()
    roles = {"wearing": ("wearer", ("hat", "glasses")), "holding": ("holder", ("held",))}
    roles["inside"] = ("contained", ("container",))
    for description in drawn(Language(known), 10_000):
        one, *others = (known[group.concept].roles for group in description.groups)
        if description.relation in roles:
            first, seconds = roles[description.relation]
            assert first in one
            assert others[0].intersection(seconds)
        assert all(group.colour != description.background for group in description.groups)
        assert all(known[group.concept].article for group in description.groups if group.count > 1)
        looks = [(group.concept, group.colour) for group in description.groups]
        assert len(set(looks)) == len(looks)
        assert sum(group.count for group in description.groups) <= 9


def test_relations_whose_roles_nobody_has_are_left_out():
    plain = tuple(replace(concept, roles=frozenset()) for concept in concepts()[:30])
    found = {description.relation for description in drawn(Language(plain), 500, category="relation")}
    assert found == {"in front of", "behind"}
    assert found < set(TOUCHING)


def test_a_narrow_language_draws_nothing_else():
    names = ("single", "two", "counting", "position", "background")
    language = Language(concepts(), dict.fromkeys(names, 1), most=4, mixing=0.0)
    found = drawn(language, 2000)
    assert {category(description) for description in found} == set(names)
    groups = [group for description in found for group in description.groups]
    assert max(group.count for group in groups) == 4
    assert not any(group.colour or group.size or group.upside_down or group.arrangement for group in groups)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"weights": {"singles": 1}}, "no category 'singles'"),
        ({"most": 10}, "cannot be 10"),
        ({"colours": ("red",)}, "at least four colours, not 1"),
        ({"concepts": concepts()[:2]}, "at least three concepts, not 2"),
    ],
)
def test_what_no_language_can_be_is_refused(asked, message):
    with pytest.raises(DataError, match=message):
        Language(**{"concepts": concepts()[:20], **asked})


def test_what_cannot_be_drawn_is_refused():
    language = Language(concepts()[:20], backgrounds=("white",), most=1)
    for name in ("background", "counting", "nonsense"):
        with pytest.raises(DataError, match=name):
            language.draw(random.Random(0), name)


@pytest.mark.parametrize(
    ("description", "name"),
    [
        (Description((Group(0),)), "single"),
        (Description((Group(0, colour="red"),)), "colour"),
        (Description((Group(0, colour="red"),), background="blue"), "background"),
        (Description((Group(0), Group(1)), background="blue"), "two"),
        (Description((Group(0), Group(1, colour="red"))), "binding"),
        (Description((Group(0, 2), Group(1))), "counting"),
        (Description((Group(0, 2), Group(1)), "left of"), "position"),
        (Description((Group(0, size="big", place="left"),)), "position"),
        (Description((Group(0, size="big"), Group(1))), "size"),
        (Description((Group(0), Group(1), Group(2)), "inside"), "relation"),
    ],
)
def test_a_description_is_of_the_category_of_the_hardest_it_asks(description, name):
    assert category(description) == name


@pytest.mark.parametrize("most", [2, 3, 4])
def test_few_can_be_counted_too(most):
    language, rng = Language(concepts()[:20], most=most), random.Random(0)
    drawn = [language.draw(rng, "counting") for _ in range(200)]
    assert {sum(group.count for group in one.groups) for one in drawn} == set(range(2, most + 1))
