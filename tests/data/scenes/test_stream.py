"""The stream of scenes: endless, seeded, and each scene a function of its number alone."""

import pickle

import pytest

from sfumato.data.scenes.held_out import is_held_out
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.sprites import shapes
from sfumato.data.scenes.stream import Scenes
from sfumato.errors import DataError


def test_a_scene_and_its_captions_depend_on_seed_and_number_alone():
    pack = shapes()
    forwards, backwards = Scenes(pack, 3), Scenes(pack, 3)
    there = [(forwards.scene(i), forwards.caption(i)) for i in range(50)]
    back = [(backwards.scene(i), backwards.caption(i)) for i in reversed(range(50))]
    assert there == back[::-1]


def test_other_seeds_and_numbers_give_other_scenes():
    pack = shapes()
    scenes = [Scenes(pack, seed).scene(number) for seed in range(10) for number in (*range(20), 2**40, 2**40 + 1)]
    assert len(set(scenes)) == len(scenes)


def test_a_worker_process_has_the_same_scenes():
    scenes = Scenes(shapes(), 0)
    scene = scenes.scene(5)
    assert pickle.loads(pickle.dumps(scenes)).scene(5) == scene


def test_one_scene_has_many_captions():
    scenes = Scenes(shapes(), 0)
    number = next(i for i in range(100) if len(scenes.scene(i).description.groups) == 2)
    captions = {scenes.caption(number, nth) for nth in range(40)}
    assert len(captions) > 20
    assert scenes.told(scenes.scene(number), number, 7) == scenes.caption(number, 7)


def test_the_other_stream_holds_only_what_is_held_out():
    scenes = Scenes(shapes(), 0, held_out=True)
    assert all(is_held_out(scenes.scene(number).description, scenes.language.names) for number in range(300))


def test_a_narrow_language_is_kept_to():
    pack = shapes()
    language = Language(pack.concepts, {"single": 1, "counting": 1}, most=4, mixing=0.0)
    scenes = [Scenes(pack, 0, language=language).scene(number) for number in range(200)]
    assert max(len(scene.things) for scene in scenes) == 4
    assert not any(thing.colour for scene in scenes for thing in scene.things)


def test_a_negative_seed_is_refused():
    with pytest.raises(DataError, match="0 or more, not -1"):
        Scenes(shapes(), -1)
