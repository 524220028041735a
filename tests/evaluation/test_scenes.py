"""The benchmark of scenes: what it asks, how it scores, and what it writes."""

import json
from types import SimpleNamespace

import pytest
import torch

from sfumato.data.scenes.held_out import is_held_out
from sfumato.data.scenes.language import Language
from sfumato.data.scenes.sprites import shapes
from sfumato.data.scenes.store import SceneStore
from sfumato.data.scenes.stream import Scenes
from sfumato.errors import CheckpointError
from sfumato.evaluation.scene_benchmark import COLUMNS, judge, questions, real_scenes, scores
from sfumato.evaluation.scene_evaluation import learned_from, run
from sfumato.evaluation.scene_variety import memorised, variety
from sfumato.evaluation.seeing.finding import Eye


@pytest.fixture(scope="module")
def pack():
    return shapes()


def test_questions_are_seeded_and_held_out_ones_hold_what_training_never_shows(pack):
    language = Language(pack.concepts)
    asked = questions(language, 3, seed=5)
    assert asked == questions(language, 3, seed=5)
    assert asked != questions(language, 3, seed=6)
    assert all(is_held_out(one.description, language.names) == one.held_out for one in asked)
    assert not any(one.held_out for one in asked if one.category == "single")
    assert len({one.seed for one in asked}) == len(asked)


def test_a_narrow_language_is_not_asked_what_it_cannot_say(pack):
    asked = questions(Language.named("narrow", pack.concepts), 2)
    assert {one.category for one in asked} == {"single", "two", "counting", "position", "background"}
    assert all(group.colour is None and group.count <= 4 for one in asked for group in one.description.groups)


def test_real_scenes_score_highest_and_empty_pictures_nothing(pack):
    asked, eye = questions(Language(pack.concepts), 1), Eye(pack)
    real = scores(list(judge(asked, real_scenes(asked, pack), eye, pack)))
    assert set(real["overall"]) == set(COLUMNS)
    assert min(real["overall"].values()) >= 0.85
    nothing = list(judge(asked[:3], lambda prompts, seeds: torch.ones(len(seeds), 3, 64, 64), eye, pack))
    assert set(scores(nothing)["overall"].values()) == {0}
    told = nothing[0].told(pack)
    assert json.loads(json.dumps(told))["faults"] == list(nothing[0].judgement.faults)


def test_variety_is_nothing_for_the_same_picture_again_and_a_copy_is_noticed(pack):
    stream, eye = Scenes(pack, seed=0), Eye(pack)
    asked = [one for one in questions(Language(pack.concepts), 1) if one.category == "single"]
    make = real_scenes(asked, pack)
    picture = make([""], [asked[0].seed])
    again = torch.cat([picture, picture])[None]
    same = variety(again, [eye(again[0])])
    assert same.distance == pytest.approx(0, abs=1e-3)
    assert same.places == pytest.approx(0, abs=1e-3)
    from sfumato.data.scenes.compose import compose

    copy = compose([stream.scene(7)], pack, 64)
    assert memorised(copy, stream, 32).closest < 0.05
    assert memorised(copy, Scenes(pack, seed=1), 32).closest > 0.1


def test_copies_are_looked_for_among_the_scenes_of_the_training(pack, tmp_path):
    model = SimpleNamespace(model=SimpleNamespace(folder=tmp_path, name="m"))
    language = Language.named("narrow", pack.concepts)
    for recipe, seed, grid in (({"seed": 3, "data": {"grid": 16}}, 3, 16), ({}, 0, 0)):
        (tmp_path / "sfumato.json").write_text(json.dumps({"recipe": recipe}))
        trained = SceneStore(pack, 10, seed, language="narrow", grid=grid).scenes
        stream = learned_from(model, pack, language)
        assert [stream.scene(number) for number in range(5)] == [trained.scene(number) for number in range(5)]
    for recipe in ([], {"seed": "x"}, {"seed": -1}, {"data": {"grid": 2}}, {"data": 5}):
        (tmp_path / "sfumato.json").write_text(json.dumps({"recipe": recipe}))
        with pytest.raises(CheckpointError, match="recipe"):
            learned_from(model, pack, language)


@pytest.mark.slow
def test_a_model_of_something_else_is_told_what_is_wrong_with_each_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("SFUMATO_EMOJI_FONT", "")
    monkeypatch.setattr("sfumato.data.scenes.sprites.find_font", lambda: None)
    with pytest.warns(UserWarning, match="never saw these words"):
        done = run("digits", count=1, steps=1, out=tmp_path, device="cpu", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()]
    assert len(lines) == done.metrics["pictures"] == len(list((tmp_path / "pictures").glob("*.png")))
    assert done.metrics == json.loads((tmp_path / "scenes.json").read_text())
    assert done.metrics["ceilings"]["real"]["seen"] > done.metrics["overall"]["seen"]
