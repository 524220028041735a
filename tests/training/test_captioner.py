"""The captioner's training: from scenes and from folders, to a model folder that captions."""

import json

import pytest
import torch

from sfumato.data.pictures import to_image
from sfumato.data.scenes.compose import compose
from sfumato.data.scenes.sprites import shapes
from sfumato.data.scenes.stream import Scenes
from sfumato.data.tokens import Tokenizer
from sfumato.errors import CheckpointError, RecipeError
from sfumato.networks.captioner import Captioner
from sfumato.pipelines.facts import facts
from sfumato.pipelines.language.captioning import CaptionModel, said
from sfumato.pipelines.model import load
from sfumato.training import recipe as recipes
from sfumato.training.stages.captioner import Objective, config_of
from sfumato.training.team import Team
from sfumato.training.train import train

SMALL = [
    "data.size=16",
    "data.length=16",
    "data.vocabulary=700",
    "data.scenes=200",
    "data.grid=0",
    "captioner.channels=[8, 16]",
    "captioner.width=16",
    "captioner.layers=1",
    "captioner.heads=2",
    "captioner.batch=4",
    "captioner.steps=30",
    "captioner.learning_rate=0.02",
    "captioner.warmup=2",
    "run.previews=1",
    "run.log_every=1",
    "run.precision='float32'",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captioner")
    shapes().save(folder / "shapes.png")
    sprites = f"data.sprites={str(folder / 'shapes.png')!r}"
    return train("scenes", folder / "model", "captioner", [*SMALL, sprites], quiet=True, size="tiny")


def test_it_learns_from_scenes(model):
    lines = [json.loads(line) for line in (model / "run" / "captioner" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    (sample,) = (model / "run" / "captioner").glob("samples-*")
    assert sample.read_text(encoding="utf-8").count("\n  -> ") == 8


def test_the_model_folder_captions_and_says_what_it_is(model):
    captioner = CaptionModel.load(model, "cpu")
    assert captioner.side == 16
    texts = captioner.caption(torch.randn(3, 3, 16, 16).clamp(-1, 1))
    assert len(texts) == 3
    index = json.loads((model / "model_index.json").read_text())
    assert index["_class_name"] == "SfumatoCaptions"
    assert index["captioner"] == ["sfumato", "Captioner"]
    told = dict(facts(model).summary)
    assert told["way"] == "captions"
    with pytest.raises(CheckpointError, match="tells what pictures show"):
        load(model)


def test_it_learns_from_a_folder(tmp_path):
    stream = Scenes(shapes(), 1)
    (tmp_path / "data").mkdir()
    for number, picture in enumerate(compose([stream.scene(n) for n in range(8)], shapes(), 16)):
        to_image(picture).save(tmp_path / "data" / f"{number}.png")
        (tmp_path / "data" / f"{number}.txt").write_text(f"{stream.caption(number)}\n{stream.caption(number, 1)}")
    settings = [*SMALL, "captioner.steps=2", "captioner.jitter=0.1", "captioner.dropout=0.1"]
    folder = train(tmp_path / "data", tmp_path / "model", "captioner", settings, quiet=True, size="tiny")
    assert len(CaptionModel.load(folder, "cpu").caption(torch.zeros(1, 3, 16, 16))) == 1


def test_padding_teaches_nothing_and_the_end_does():
    tokenizer = Tokenizer.train(["a cat", "two dogs"], length=8)
    recipe = recipes.load("captioner", SMALL, "tiny")
    torch.manual_seed(0)
    network = Captioner(config_of(recipe.captioner, recipe, tokenizer))
    objective, pictures = Objective(network, Team()), torch.randn(1, 3, 16, 16)
    ids = tokenizer.encode(["a cat"])
    end = ids[0].tolist().index(tokenizer.end_id)
    padded = ids.clone()
    padded[:, end + 1 :] = 3  # never looked at
    assert torch.equal(objective(pictures, ids)["loss"], objective(pictures, padded)["loss"])
    assert torch.allclose(objective(pictures, ids)["loss"], objective(pictures, ids[:, : end + 1])["loss"], atol=1e-5)
    assert not torch.isclose(objective(pictures, ids)["loss"], objective(pictures, ids[:, :end])["loss"])


class OneOfTwo(Team):
    """A process of a team in which each has 7.5 tokens in the mean."""

    def mean(self, value):
        return torch.tensor(7.5)


def test_processes_with_captions_of_different_lengths_learn_as_one_would():
    tokenizer = Tokenizer.train(["a cat", "two dogs and two cats"], length=12)
    recipe = recipes.load("captioner", SMALL, "tiny")
    torch.manual_seed(0)
    network = Captioner(config_of(recipe.captioner, recipe, tokenizer))
    pictures, ids = torch.randn(2, 3, 16, 16), tokenizer.encode(["a cat", "two dogs and two cats"])
    assert said(ids, tokenizer.end_id).sum(1).tolist() == [4, 11]
    alone = Objective(network, Team())(pictures, ids)
    first, second = (Objective(network, OneOfTwo())(pictures[[row]], ids[[row]]) for row in range(2))
    for name, value in alone.items():
        assert torch.isclose((first[name] + second[name]) / 2, value), name


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(RecipeError, match=r"captioner\.patch"):
        recipes.load("captioner", ["data.size=15"], "tiny")
    with pytest.raises(RecipeError, match=r"captioner\.channels"):
        recipes.load("captioner", ["data.size=20", "captioner.channels=[8, 8, 8, 8]"], "tiny")
    for told in (["captioner.width=20", "captioner.heads=3"], ["captioner.width=20"], ["captioner.heads=3"]):
        with pytest.raises(RecipeError, match=r"captioner\.width .* heads"):
            recipes.load("captioner", told, "tiny")
