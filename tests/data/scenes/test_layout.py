"""Layouts are what words say: inside the picture, apart, at their places, of their sizes, in their relations."""

import random
from itertools import combinations, pairwise

import pytest

from sfumato.data.scenes.concepts import Concept
from sfumato.data.scenes.description import PLACES, SPATIAL, TOUCHING, Description, Group, category
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.layout import lay_out
from sfumato.data.scenes.sprites import Pack, shapes
from sfumato.data.scenes.touching import extents

SHAPES = shapes()


def with_roles() -> Pack:
    """The shapes, with a role for each relation."""
    roles = ("wearer", "hat", "glasses", "holder", "held", "container", "contained")
    known = [
        Concept(
            c.name,
            c.plural,
            c.synonyms,
            "",
            frozenset({role}),
            *(((0.5, 0.1, 0.5), (0.5, 0.4, 0.5)) * (role == "wearer")),
        )
        for c, role in zip(SHAPES.concepts, roles, strict=False)
    ]
    return Pack((*known, *SHAPES.concepts[len(known) :]), SHAPES.pixels, "shapes with roles")


PACK = with_roles()
EXTENTS = extents(PACK)
WEARER, HAT, GLASSES, HOLDER, HELD, CONTAINER, CONTAINED = range(7)


def box(thing):
    """What is seen of a thing: left, top, right, bottom."""
    width, height = (thing.size * side / 2 for side in EXTENTS[thing.concept])
    return thing.x - width, thing.y - height, thing.x + width, thing.y + height


def overlap(one, two):
    a, b = box(one), box(two)
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def layouts(description, count=200):
    return [lay_out(description, PACK, random.Random(seed)).things for seed in range(count)]


def test_everything_that_can_be_described_lies_inside_and_apart():
    language, rng = Language(PACK.concepts), random.Random(2)
    for _ in range(6000):
        description = language.draw(rng)
        scene = lay_out(description, PACK, rng)
        wanted = [group.concept for group in description.groups for _ in range(group.count)]
        assert sorted(thing.concept for thing in scene.things) == sorted(wanted)
        assert scene.background == description.background
        assert scene.description is description
        for thing in scene.things:
            left, top, right, bottom = box(thing)
            assert min(left, top) > -1e-6, scene
            assert max(right, bottom) < 1 + 1e-6, scene
            assert (thing.colour, thing.upside_down) in {(g.colour, g.upside_down) for g in description.groups}
        apart = scene.things if description.relation not in TOUCHING else ()
        assert not any(overlap(one, two) > 1e-9 for one, two in combinations(apart, 2)), scene


def test_the_third_thing_of_a_relation_touches_neither():
    for relation in TOUCHING:
        for things in layouts(Description((Group(WEARER), Group(HAT), Group(10)), relation)):
            assert things[2].concept == 10
            assert not overlap(things[0], things[2]) > 1e-9
            assert not overlap(things[1], things[2]) > 1e-9


def test_many_things_are_still_large_enough_to_be_recognised():
    for count in range(2, 10):
        for arrangement in (None, *(["row"] if 3 <= count <= 4 else [])):
            for things in layouts(Description((Group(8, count, arrangement=arrangement),)), 100):
                assert len(things) == count
                assert min(thing.size for thing in things) >= 0.2


def test_sizes_are_what_words_say():
    for size, low, high in (("small", 0, 0.24), (None, 0.24, 0.5), ("big", 0.5, 1)):
        for (thing,) in layouts(Description((Group(8, size=size),))):
            assert low <= thing.size <= high
    for sizes in (("big", "small"), ("big", None), (None, "small")):
        for relation in (None, *SPATIAL):
            groups = tuple(Group(number, size=size) for number, size in enumerate(sizes, 8))
            for larger, smaller in layouts(Description(groups, relation)):
                assert larger.size > 1.3 * smaller.size


@pytest.mark.parametrize("place", PLACES)
def test_a_place_is_where_words_say(place):
    column, row = PLACES[place]
    for (thing,) in layouts(Description((Group(8, place=place),))):
        for part, middle in ((column, thing.x), (row, thing.y)):
            assert {-1: middle < 0.36, 0: 0.38 < middle < 0.62, 1: middle > 0.64}[part]


@pytest.mark.parametrize("relation", SPATIAL)
@pytest.mark.parametrize("counts", [(1, 1), (2, 1), (1, 3)])
def test_there_is_a_clear_gap_between_two_sides(relation, counts):
    for things in layouts(Description((Group(8, counts[0]), Group(9, counts[1])), relation)):
        firsts, seconds = things[: counts[0]], things[counts[0] :]
        for first in map(box, firsts):
            for second in map(box, seconds):
                gaps = {
                    "left of": second[0] - first[2],
                    "right of": first[0] - second[2],
                    "above": second[1] - first[3],
                    "below": first[1] - second[3],
                }
                assert gaps[relation] >= 0.04


def test_a_hat_sits_on_the_head_and_glasses_before_the_eyes():
    for wearer, hat in layouts(Description((Group(WEARER), Group(HAT)), "wearing")):
        head = (wearer.x, wearer.y - 0.4 * wearer.size)
        assert abs(hat.x - head[0]) < 0.03
        assert box(hat)[1] < box(wearer)[1]
        assert head[1] < box(hat)[3] < wearer.y
        assert 0.45 < (box(hat)[2] - box(hat)[0]) / wearer.size < 0.65
    for wearer, glasses in layouts(Description((Group(WEARER), Group(GLASSES)), "wearing")):
        assert glasses.concept == GLASSES
        assert glasses.x == pytest.approx(wearer.x)
        assert glasses.y == pytest.approx(wearer.y - 0.1 * wearer.size)


def test_what_is_held_overlaps_a_lower_side_of_its_holder():
    for holder, held in layouts(Description((Group(HOLDER), Group(HELD)), "holding")):
        assert held.y > holder.y
        assert held.size < 0.6 * holder.size
        assert overlap(holder, held) > 0
        assert box(held)[0] < box(holder)[0] or box(held)[2] > box(holder)[2]


def test_what_is_inside_looks_out_from_behind_the_container():
    for things in layouts(Description((Group(CONTAINED), Group(CONTAINER)), "inside")):
        thing, container = things
        assert thing.concept == CONTAINED
        top, bottom = box(thing)[1], box(thing)[3]
        assert 0.25 < (bottom - box(container)[1]) / (bottom - top) < 0.6
        assert box(container)[0] < box(thing)[0]
        assert box(thing)[2] < box(container)[2]


@pytest.mark.parametrize("relation", ["in front of", "behind"])
def test_what_stands_in_front_hides_a_part_of_what_is_behind(relation):
    for one in range(8, 14):
        for back, front in layouts(Description((Group(one), Group(14)), relation), 40):
            assert (front.concept == 14) == (relation == "behind")
            left, top, right, bottom = box(back)
            assert 0.25 <= overlap(back, front) / ((right - left) * (bottom - top)) <= 0.45


def test_a_row_is_level_and_close():
    for things in layouts(Description((Group(8, 4, arrangement="row"),))):
        assert len({thing.y for thing in things}) == 1
        gaps = [two.x - one.x for one, two in pairwise(things)]
        assert max(gaps) - min(gaps) < 1e-6
        assert 1 < gaps[0] / things[0].size < 1.15


def test_chance_decides_the_rest_and_can_be_repeated():
    description = Description((Group(8), Group(9, colour="red")))
    assert category(description) == "binding"
    assert len(set(layouts(description))) == 200
    assert layouts(description) == layouts(description)


def test_even_what_the_language_never_draws_can_be_laid_out():
    for count in range(1, 10):
        for groups in (
            (Group(8, count, size="big"),),
            (Group(8, count, place="left"),),
            (Group(8, count), Group(9, 9 - count or 1)),
        ):
            for things in layouts(Description(groups), 20):
                assert all(-1e-6 < edge < 1 + 1e-6 for thing in things for edge in box(thing))
        for things in layouts(Description((Group(8, count, size="big"), Group(9, 2, size="big")), "above"), 20):
            assert all(-1e-6 < edge < 1 + 1e-6 for thing in things for edge in box(thing))
