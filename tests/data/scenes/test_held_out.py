"""A fixed tenth of all combinations is held out, and no training scene ever shows any of it."""

import random
from functools import cache
from itertools import combinations

import torch

from sfumato.data.scenes.colours import TINTS
from sfumato.data.scenes.concepts import concepts
from sfumato.data.scenes.description import RELATIONS, Description, Group
from sfumato.data.scenes.held_out import (
    colour_held_out,
    is_held_out,
    pair_held_out,
    relation_held_out,
    shows_held_out,
)
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.scene import Scene, Thing
from sfumato.data.scenes.sprites import Pack
from sfumato.data.scenes.stream import Scenes

NAMES = [concept.name for concept in concepts()]
NUMBERS = range(len(NAMES))
PAIRS = {pair for pair in combinations(NUMBERS, 2) if pair_held_out(NAMES[pair[0]], NAMES[pair[1]])}
COLOURED = {(colour, i) for colour in TINTS for i in NUMBERS if colour_held_out(colour, NAMES[i])}


@cache
def related(relation, one, two):
    return relation_held_out(relation, NAMES[one], NAMES[two])


def blank_pack() -> Pack:
    """All concepts, as full squares: what they look like does not matter here."""
    return Pack(concepts(), torch.full((1, 4, 128, 128), 255, dtype=torch.uint8).expand(len(NAMES), -1, -1, -1), "")


def test_of_every_kind_of_combination_a_tenth_is_held_out():
    few = NAMES[:60]
    shares = {
        "pairs": len(PAIRS) / len(list(combinations(NUMBERS, 2))),
        "colours": len(COLOURED) / (len(TINTS) * len(NAMES)),
        "relations": sum(relation_held_out(r, a, b) for r in RELATIONS for a in few for b in few if a != b)
        / (len(RELATIONS) * 60 * 59),
    }
    assert all(0.09 < share < 0.11 for share in shares.values()), shares


def test_the_choice_depends_on_names_alone_and_never_changes():
    pairs = combinations(("cat", "dog", "raccoon", "top hat", "car", "pizza"), 2)
    assert [pair for pair in pairs if pair_held_out(*pair)] == [("cat", "raccoon"), ("dog", "car"), ("top hat", "car")]
    assert {colour for colour in ("red", "blue", "pink", "black", "white") if colour_held_out(colour, "car")} == {
        "red",
        "pink",
    }


def test_a_pair_has_no_order_and_a_relation_told_from_the_other_end_is_the_same():
    for a, b in combinations(NAMES[:40], 2):
        assert pair_held_out(a, b) == pair_held_out(b, a)
        assert relation_held_out("left of", a, b) == relation_held_out("right of", b, a)
        assert relation_held_out("above", a, b) == relation_held_out("below", b, a)
        assert relation_held_out("in front of", a, b) == relation_held_out("behind", b, a)


def test_places_state_a_relation_too():
    one, two = next(pair for pair in combinations(NUMBERS, 2) if pair not in PAIRS and related("left of", *pair))
    groups = (Group(one, place="top left"), Group(two, place="top right"))
    assert is_held_out(Description(groups), NAMES)
    assert is_held_out(Description((groups[1], groups[0])), NAMES)
    assert is_held_out(Description((Group(one), Group(two)), "left of"), NAMES)


def test_a_relation_that_things_happen_to_show_is_found():
    one, two = next(
        pair for pair in combinations(NUMBERS, 2) if related("left of", *pair) and not related("left of", *pair[::-1])
    )
    things = (Thing(one, 0.2, 0.5, 0.3), Thing(two, 0.7, 0.5, 0.3))
    assert shows_held_out(Scene("white", things), NAMES)
    assert not shows_held_out(Scene("white", (Thing(one, 0.7, 0.5, 0.3), Thing(two, 0.2, 0.5, 0.3))), NAMES)


def test_about_a_tenth_of_all_pairs_that_are_drawn_freely_are_held_out():
    language, rng = Language(concepts()), random.Random(5)
    pairs = [
        tuple(sorted((one.concept, two.concept)))
        for _ in range(20_000)
        for one, two in combinations(language.draw(rng).groups, 2)
        if one.concept != two.concept
    ]
    assert 0.08 < sum(pair in PAIRS for pair in pairs) / len(pairs) < 0.12


def test_in_200000_training_scenes_nothing_held_out_occurs():
    scenes = Scenes(blank_pack(), seed=0, held_out=False)
    for number in range(200_000):
        scene = scenes.scene(number)
        kinds = {thing.concept for thing in scene.things}
        assert PAIRS.isdisjoint(combinations(sorted(kinds), 2)), scene
        assert COLOURED.isdisjoint((thing.colour, thing.concept) for thing in scene.things if thing.colour), scene
        groups = scene.description.groups
        for relation, one, two in scene.description.relations():
            assert not related(relation, groups[one].concept, groups[two].concept), scene
        if len(kinds) > 1:
            assert not seen_apart(scene), scene


def seen_apart(scene: Scene) -> bool:
    """Whether all things of one kind are left of, or above, all of another in a held-out way."""
    reach = {}
    for thing in scene.things:
        half = thing.size / 2
        box = (thing.x - half, -thing.x - half, thing.y - half, -thing.y - half)
        reach[thing.concept] = tuple(map(min, box, reach.get(thing.concept, box)))
    return any(
        (-reach[one][1] <= reach[two][0] and related("left of", one, two))
        or (-reach[one][3] <= reach[two][2] and related("above", one, two))
        for one in reach
        for two in reach
        if one != two
    )


def test_without_the_rule_the_same_check_finds_what_is_held_out():
    scenes = Scenes(blank_pack(), seed=0, held_out=None)
    found = sum(is_held_out(scenes.scene(number).description, NAMES) for number in range(2000))
    assert 0.1 < found / 2000 < 0.3
    assert sum(seen_apart(scenes.scene(number)) for number in range(500)) > 5
