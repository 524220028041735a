"""Scenes become pictures: at the right place, in the right order, the same in every batch and at every size."""

import random
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from sfumato.data.scenes.colours import BACKGROUNDS, TINTS
from sfumato.data.scenes.compose import Layers, compose, coverage, pack_scenes
from sfumato.data.scenes.scene import Scene, Thing
from sfumato.data.scenes.sprites import Pack, shapes
from sfumato.errors import DataError


@pytest.fixture(scope="module")
def pack() -> Pack:
    return shapes()


def random_scene(seed: int, concepts: int) -> Scene:
    rng = random.Random(seed)
    things = tuple(
        Thing(
            rng.randrange(concepts),
            rng.uniform(0.25, 0.75),
            rng.uniform(0.25, 0.75),
            rng.uniform(0.2, 0.5),
            rng.choice([None, *TINTS]),
            rng.random() < 0.2,
        )
        for _ in range(rng.randrange(5))
    )
    return Scene(rng.choice(list(BACKGROUNDS)), things)


def number(pack: Pack, name: str) -> int:
    return next(k for k, concept in enumerate(pack.concepts) if concept.name == name)


def test_a_scene_is_the_same_in_any_batch(pack: Pack) -> None:
    scenes = [random_scene(seed, len(pack.concepts)) for seed in range(24)]
    together = compose(scenes, pack, 32)
    assert together.shape == (24, 3, 32, 32)
    for scene, picture in zip(scenes, together, strict=True):
        assert torch.allclose(compose([scene], pack, 32)[0], picture, atol=1e-5)
    assert torch.allclose(compose(scenes[::-1], pack, 32).flip(0), together, atol=1e-5)


def test_a_larger_picture_shows_the_same(pack: Pack) -> None:
    scenes = [random_scene(seed, len(pack.concepts)) for seed in range(16)]
    small, large = compose(scenes, pack, 64), compose(scenes, pack, 256)
    difference = (F.avg_pool2d(large, 4) - small).abs()
    assert difference.mean() < 0.004
    assert difference.flatten(1).quantile(0.99, dim=1).max() < 0.12


def test_layers_give_the_picture_of_their_scenes(pack: Pack) -> None:
    scenes = [random_scene(seed, len(pack.concepts)) for seed in range(6)]
    layers = pack_scenes(scenes)
    assert isinstance(layers, Layers)
    assert len(layers) == 6
    assert torch.equal(compose(layers, pack, 32), compose(scenes, pack, 32))


def test_nothing_makes_an_empty_picture(pack: Pack) -> None:
    assert compose([], pack, 16).shape == (0, 3, 16, 16)
    assert (compose([Scene("white")], pack, 16) == 1).all()


def test_a_thing_stands_where_the_scene_says(pack: Pack) -> None:
    square = Scene("white", (Thing(number(pack, "square"), 0.25, 0.75, 0.5, "black"),))
    dark = compose([square], pack, 64)[0].mean(0) < 0
    assert dark[32:, :32].all()
    assert dark.sum() == 32 * 32


def test_later_things_stand_in_front(pack: Pack) -> None:
    back = Thing(number(pack, "square"), 0.5, 0.5, 0.9, "blue")
    front = replace(back, concept=number(pack, "circle"), size=0.4, colour="red")
    over, under = compose([Scene("white", (back, front)), Scene("white", (front, back))], pack, 64)
    red, blue = over[:, 32, 32], under[:, 32, 32]
    assert red[0] > 0.5 > 0 > red[2]
    assert blue[2] > 0.5 > 0 > blue[0]


def test_upside_down_turns_the_thing_and_not_its_place(pack: Pack) -> None:
    upright = Thing(number(pack, "triangle"), 0.5, 0.5, 0.8)
    one, other = compose([Scene("white", (upright,)), Scene("white", (replace(upright, upside_down=True),))], pack, 64)
    assert torch.allclose(one, other.flip(1), atol=1e-5)
    assert not torch.allclose(one, other, atol=0.1)


@pytest.mark.parametrize("side", [0.1, 0.3, 0.5, 0.9])
def test_coverage_spreads_a_sprite_exactly_over_the_pixels_it_covers(side: float) -> None:
    for size in (64, 256):
        shares = coverage(torch.tensor([size / 2]), torch.tensor([side * size]), size, 128)[0]
        assert shares.sum() == pytest.approx(side * size, rel=1e-3)
        centres = (torch.arange(size) + 0.5) / size
        inside = (centres - 0.5).abs() < side / 2 - 1.5 / size - side / 128
        assert torch.allclose(shares.sum(1)[inside], torch.ones(int(inside.sum())), atol=1e-4)
        outside = (centres - 0.5).abs() > side / 2 + 1 / size + side / 128
        assert (shares[outside] == 0).all()


def test_unknown_colours_backgrounds_and_concepts_are_refused(pack: Pack) -> None:
    for scene in (Scene("plaid"), Scene("white", (Thing(0, 0.5, 0.5, 0.5, "golden"),))):
        with pytest.raises(DataError, match="cannot be composed"):
            compose([scene], pack, 16)
    with pytest.raises(DataError, match="concept 99"):
        compose([Scene("white", (Thing(99, 0.5, 0.5, 0.5),))], pack, 16)
