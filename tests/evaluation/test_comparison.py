"""A model's pictures beside real ones: what is chosen, made, measured and written."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.data.pictures import open_picture
from sfumato.errors import CheckpointError, DataError
from sfumato.evaluation import comparison, scores
from sfumato.evaluation.comparison import compare
from sfumato.evaluation.features import FeatureNetwork
from sfumato.evaluation.folders import usual_folder
from sfumato.evaluation.measures import MEASURES
from sfumato.evaluation.real import real_pictures
from sfumato.pipelines.keepsake import read_recipe

QUICK = {"steps": 2, "device": "cpu", "quiet": True}


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Twelve captioned pictures in a folder."""
    folder = tmp_path_factory.mktemp("squares")
    chance = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(chance.integers(0, 255, (20, 20, 3), np.uint8)).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"the digit {number % 10}")
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "evaluation"
    return compare("digits", count=8, seed=5, out=out, **QUICK)


# --- what is compared with --------------------------------------------------------------------------------------------


def test_pictures_are_chosen_by_the_seed_each_with_one_of_its_captions(squares, tmp_path):
    first, again, other = (real_pictures(str(squares), None, 16, None, seed, tmp_path) for seed in (0, 0, 1))
    assert first.pictures.chosen == again.pictures.chosen != other.pictures.chosen
    assert len(first.pictures) == len(first.known) == 6
    assert not set(first.pictures.chosen) & set(first.known.chosen)
    for place, caption in zip(first.pictures.chosen, first.captions, strict=True):
        assert caption in first.pictures.store.captions[place]
    assert len(real_pictures(str(squares), None, 16, 99, 0, tmp_path).pictures) == 12


def test_of_the_digits_the_held_out_ones_are_asked_for_and_the_others_are_known(tmp_path):
    real = real_pictures("digits", None, 16, None, 0, tmp_path)
    assert (len(real.pictures), len(real.known), real.trained_on) == (256, 1442, True)
    assert sum(map(len, real.groups)) == 256
    assert len(real.groups) == 10


def test_training_pictures_that_are_the_data_themselves_are_refused(squares, tmp_path):
    with pytest.raises(DataError, match="are the data themselves"):
        real_pictures(str(squares), str(squares), 16, 4, 0, tmp_path)


def test_too_few_pictures_are_told_before_any_is_made(squares, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for file in sorted(squares.iterdir())[:14]:
        (few / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="has 7 usable pictures; to compare with them takes at least 8"):
        real_pictures(str(few), None, 16, 3, 0, tmp_path)


# --- what is measured -------------------------------------------------------------------------------------------------


def test_every_measure_is_told_of_the_digits_and_the_real_ones_beside(digits):
    told = digits.metrics["scores"]
    assert list(told) == list(MEASURES)
    assert all(score["value"] is not None for score in told.values())
    assert {key for key, score in told.items() if score["real"] is None} == {"psnr", "ssim", "diversity", "different"}
    assert told["psnr"]["value"] > 30
    assert 1 <= told["different"]["value"] <= 4
    assert digits.metrics["data"]["known_are"] == "training pictures"


def test_what_was_measured_is_written_with_its_pictures_and_their_recipes(digits):
    folder = digits.folder
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == digits.metrics
    recipes = [read_recipe(path)["request"] for path in sorted((folder / "pictures").iterdir())]
    assert [recipe["seed"] for recipe in recipes] == list(range(5, 13))
    assert all(recipe["num_inference_steps"] == 2 for recipe in recipes)
    assert digits.metrics["settings"] == {
        "seed": 5,
        "num_inference_steps": 2,
        "guidance_scale": recipes[0]["guidance_scale"],
    }
    assert len(list((folder / "reconstructions").iterdir())) == 12
    assert open_picture(folder / "beside.png").size == (8 * 66 - 2, 2 * 66 - 2)


def test_a_folder_is_measured_again_with_the_same_numbers(squares, tmp_path):
    for name in ("pictures/00009.png", "pictures/mine.png", "reconstructions/6-original.png"):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).touch()
    one, two = (compare("digits", str(squares), count=4, out=tmp_path / name, **QUICK) for name in "ab")
    left = sorted(path.name for path in (tmp_path / "a" / "pictures").iterdir())
    assert left == ["00000.png", "00001.png", "00002.png", "00003.png", "mine.png"]
    assert len(list((tmp_path / "a" / "reconstructions").iterdir())) == 2 * 4
    assert one.metrics["scores"] == two.metrics["scores"]
    assert one.metrics["data"] | {"source": ""} == {
        "source": "",
        "fingerprint": one.metrics["data"]["fingerprint"],
        "pictures": 4,
        "known": 8,
        "known_are": "other pictures of the data",
    }


def test_a_model_of_other_data_must_be_told_what_to_be_compared_with(monkeypatch, tmp_path):
    monkeypatch.setattr(comparison, "load_lineage", lambda folder: {"data": {"source": "photos"}})
    with pytest.raises(DataError, match="--data FOLDER"):
        compare("digits", out=tmp_path, **QUICK)


def test_a_network_that_is_not_there_is_told_before_anything_is_made(tmp_path):
    with pytest.raises(CheckpointError, match="no features 'nowhere'"):
        compare("digits", features="nowhere", out=tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()


# --- the scores of sets whose truth is known --------------------------------------------------------------------------

PLAIN = FeatureNetwork("mean colours", 1, lambda pixels: pixels.flatten(1), torch.device("cpu"))


def test_copies_of_known_pictures_are_at_no_distance():
    known = torch.rand(6, 3, 40, 40) * 2 - 1
    small = scores.seen([known], PLAIN).small
    assert scores.novelty_scores(small[2:4], small) == pytest.approx({"nearest": 0, "nearest_least": 0}, abs=1e-3)
    assert scores.novelty_scores(small[2:4], small[:2])["nearest_least"] > 0.1
    assert scores.novelty_scores(small, small[:0]) == {}


def test_what_can_be_reached_is_told_by_equally_many_other_pictures_or_not_at_all():
    features = torch.randn(12, 3)
    assert scores.reachable_scores(features[:5], features[5:]) == {}
    enough = scores.reachable_scores(features[:6], features[6:])
    assert enough == scores.set_scores(features[:6], features[6:])


def test_a_network_without_words_gives_no_clip_score():
    assert scores.word_score(torch.ones(2, 3), ["a", "b"], PLAIN) == {}


def test_groups_with_too_few_pictures_tell_no_diversity():
    assert scores.diversity_scores([torch.randn(3, 5)]) == {}
    assert set(scores.diversity_scores([torch.randn(3, 5), torch.randn(7, 5)])) == {"diversity", "different"}


def test_the_usual_folder_lies_here_whatever_a_model_is_called(tmp_path, monkeypatch):
    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "model_index.json").write_text("{}")
    assert str(usual_folder(tmp_path / "my model")) == "my-model-evaluation"
    monkeypatch.chdir(tmp_path / "my model")
    assert str(usual_folder(".")) == "my-model-evaluation"
    assert str(usual_folder("digits")) == "digits-evaluation"
