"""The judge of scenes: it finds no fault in right ones, and says what is wrong in wrong ones."""

import random

import pytest
import torch

from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.description import Description, Group, category
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.layout import lay_out
from sfumato.data.scenes.scene import Scene, Thing
from sfumato.data.scenes.sprites import shapes
from sfumato.evaluation.seeing.finding import Eye
from sfumato.evaluation.seeing.judging import asked_looks, judged
from sfumato.evaluation.seeing.looks import Look
from sfumato.evaluation.seeing.sight import Found, Sight
from sfumato.evaluation.seeing.spoiling import WAYS, spoil


@pytest.fixture(scope="module")
def pack():
    return shapes()


@pytest.fixture(scope="module")
def eye(pack):
    return Eye(pack)


@pytest.fixture(scope="module")
def faults_of(pack, eye):
    def judge(scenes):
        sights = eye(compose(scenes, pack, 64), [asked_looks(scene.description) for scene in scenes])
        return [judged(sight, scene.description, pack).faults for sight, scene in zip(sights, scenes, strict=True)]

    return judge


def test_real_scenes_of_all_categories_have_no_fault(pack, faults_of):
    language, rng = Language(pack.concepts), random.Random(1)
    scenes = [lay_out(language.draw(rng), pack, rng) for _ in range(30)]
    told = faults_of(scenes)
    assert len({category(scene.description) for scene in scenes}) >= 6
    assert sum(bool(one) for one in told) <= 1, [one for one in told if one]


@pytest.mark.parametrize("how", WAYS)
def test_of_a_scene_with_one_thing_wrong_just_that_is_said(pack, faults_of, how):
    language, rng = Language(pack.concepts), random.Random(2)
    spoilt = []
    while len(spoilt) < 4:
        one = spoil(lay_out(language.draw(rng), pack, rng), how, pack, rng)
        spoilt += [one] if one else []
    for one, told in zip(spoilt, faults_of([one.scene for one in spoilt]), strict=True):
        assert one.is_told(told), (one.expected.pattern, told, one.scene)


def test_things_are_found_where_they_are_to_half_a_pixel(pack, eye):
    things = (Thing(3, 0.3, 0.35, 0.4, "red"), Thing(5, 0.75, 0.7, 0.3, upside_down=True))
    (sight,) = eye(compose([Scene("blue", things)], pack, 64))
    assert sight.background == "blue"
    assert sight.unexplained == 0
    found = {thing.look.concept: thing for thing in sight.things}
    for thing in things:
        seen = found[thing.concept]
        assert Look(thing.concept, thing.colour, thing.upside_down) in seen.readings
        assert (seen.x, seen.y, seen.size) == pytest.approx((thing.x, thing.y, thing.size), abs=0.5 / 64)
        assert seen.quality > 0.9


def test_a_picture_is_seen_the_same_alone_in_a_batch_and_larger(pack, eye):
    scenes = [Scene("white", (Thing(n, 0.5, 0.5, 0.4),)) for n in range(3)]
    together = eye(compose(scenes, pack, 64))
    alone = eye(compose(scenes[1:2], pack, 64))
    larger = eye(compose(scenes[1:2], pack, 256))
    looks = [[sight.things[0].look.concept for sight in sights] for sights in (together, alone, larger)]
    assert looks == [[0, 1, 2], [1], [1]]


def test_noise_is_nothing_that_is_known(pack, eye):
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    told = judged(eye(noise)[0], Description((Group(0),)), pack).faults
    assert any("nothing that is known" in fault or fault.startswith("no ") for fault in told)


def test_an_empty_picture_lacks_what_was_asked_for(pack, eye):
    description = Description((Group(0, count=2), Group(1, colour="red")), background="green")
    told = judged(eye(compose([Scene("white")], pack, 64))[0], description, pack)
    one, two = pack.concepts[:2]
    assert told.missed == (f"no {one.plural}", f"no red {two.name}", "the background is white, not green")
    assert not told.besides


def test_a_thing_that_is_explained_twice_counts_once_and_what_lies_beside_counts_twice(pack):
    def seen(x, quality):
        cover = torch.zeros(64, 64)
        cover[20:40, x : x + 20] = 1
        return Found(Look(0), (x + 10) / 64, 30 / 64, 20 / 64, quality, (Look(0),), cover)

    one, asked = seen(10, 0.9), Description((Group(0),))
    assert not judged(Sight("white", (seen(14, 0.6), one), 0.0), asked, pack).faults
    (told,) = judged(Sight("white", (one, seen(31, 0.6)), 0.0), asked, pack).missed
    assert told == f"asked for 1 {pack.concepts[0].name}, found 2"


def test_what_is_there_besides_is_told_apart_from_what_is_missed(pack, eye):
    things = (Thing(0, 0.25, 0.5, 0.3), Thing(1, 0.75, 0.5, 0.3))
    (sight,) = eye(compose([Scene("white", things)], pack, 64))
    told = judged(sight, Description((Group(0),)), pack)
    assert not told.missed
    assert told.besides == told.faults
    assert "not asked for" in told.besides[0]
