"""Cold diffusion and the gradient of a probability, from data to pictures, with tiny networks."""

import pytest
import torch

from sfumato.data.digits import WORDS
from sfumato.data.store import prepare
from sfumato.data.tokens import Tokenizer
from sfumato.diffusion.cold import SEVERITY
from sfumato.diffusion.sampling import last
from sfumato.errors import CheckpointError, PromptError
from sfumato.pipelines.restoration import restored
from sfumato.pipelines.restoring import NAMES
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.progress import Progress
from sfumato.training import recipe as recipes
from sfumato.training.captions import Captions
from sfumato.training.stage import Draw
from sfumato.training.stages import builder
from sfumato.training.stages.classifier import scrambled
from sfumato.training.team import Team
from sfumato.training.train import train
from sfumato.training.workshop import PictureWorkshop

SMALL = [
    "data.vocabulary=540",
    "clip.width=64",
    "clip.layers=1",
    "clip.steps=2",
    "clip.batch=8",
    "restorer.channels=[8, 16]",
    "restorer.steps=3",
    "restorer.batch=4",
    "classifier.channels=[8, 16]",
    "classifier.steps=3",
    "classifier.batch=4",
    "run.previews=1",
    "run.precision='float32'",
]
EACH_KIND = 'classifier.negatives=["reference", "scrambled", "mixed", "own"]'


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder for each way, trained for a moment."""
    folder = tmp_path_factory.mktemp("models")
    return {way: train("digits", folder / way, way, [*SMALL, EACH_KIND], quiet=True) for way in ("cold", "gradient")}


@pytest.mark.parametrize("way", ["cold", "gradient"])
def test_a_trained_model_makes_pictures_that_do_not_depend_on_their_batch(models, way):
    pipeline = Pipeline.load(models[way], device="cpu")
    both = pipeline(["a seven", "the digit 3"], seed=5, num_inference_steps=3).pictures
    assert {picture.size for picture in both} == {(pipeline.base_size,) * 2}
    alone = pipeline("the digit 3", seed=5, num_inference_steps=3)
    assert alone.pictures[0].tobytes() == both[1].tobytes()
    assert pipeline.replay(alone.recipes[0]).pictures[0].tobytes() == both[1].tobytes()


def test_other_sizes_can_be_asked_for_of_a_restorer_and_not_of_a_classifier(models):
    asked = {"seed": 1, "num_inference_steps": 2, "width": 24}
    assert Pipeline.load(models["cold"], device="cpu")("a seven", **asked).pictures[0].size == (24, 16)
    with pytest.raises(PromptError, match="width 24 is not the 8 pixels"):
        Pipeline.load(models["gradient"], device="cpu")("a seven", **asked)


def test_a_prompt_that_names_no_class_is_refused_and_an_empty_one_means_any(models):
    pipeline = Pipeline.load(models["gradient"], device="cpu")
    with pytest.raises(PromptError, match="names none of the classes"):
        pipeline("a picture of the number", seed=1, num_inference_steps=1)
    assert pipeline("", seed=1, num_inference_steps=1).pictures[0].size == (8, 8)


def test_a_solver_of_noise_means_nothing_to_cold_diffusion(models):
    with pytest.raises(PromptError, match="solver does nothing"):
        Pipeline.load(models["cold"], device="cpu")("a seven", seed=1, solver="heun")


def test_a_damaged_file_beside_the_weights_is_named(models, tmp_path):
    import shutil

    for way, name in (("gradient", "classifier/classes.json"), ("cold", "restorer/scheduler_config.json")):
        folder = tmp_path / way
        shutil.copytree(models[way], folder, ignore=shutil.ignore_patterns("run"))
        (folder / name).write_text("{}")
        with pytest.raises(CheckpointError):
            Pipeline.load(folder, device="cpu")


@pytest.mark.parametrize("way", ["cold", "gradient"])
def test_a_folder_with_a_folder_for_each_class_trains_too(tmp_path, way):
    from PIL import Image

    for name, colour in (("apple", (200, 30, 30)), ("sky", (60, 120, 240))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (20, 20), tuple(min(255, c + i) for c in colour)).save(
                tmp_path / "data" / name / f"{i}.png"
            )
    out = train(tmp_path / "data", tmp_path / "model", way, [*SMALL, "data.split=all", "data.flip=true"], quiet=True)
    pipeline = Pipeline.load(out, device="cpu")
    assert pipeline("an apple", seed=1, num_inference_steps=2).pictures[0].size == (pipeline.base_size,) * 2


# --- the stages -------------------------------------------------------------------------------------------------------


def workshop_of(folder, way, *settings):
    recipe = recipes.load(way, [*SMALL, *settings])
    store = prepare("digits", recipe.final_size, folder / "run", split="train")
    tokenizer = Tokenizer.train([t for several in store.captions for t in several], 540, 16)
    tokenizer.save(folder / "tokenizer")
    captions = Captions(store.captions, store.labels)
    place = (recipe, folder, folder / "run", Team(), Progress(quiet=True))
    return PictureWorkshop(*place, store, tokenizer, captions)


@pytest.fixture(
    scope="module", params=[("cold", f"restorer.degradation={name}") for name in NAMES] + [("gradient", EACH_KIND)]
)
def stage(request, tmp_path_factory):
    """The stage of a way that is its own, its name and its workshop."""
    way, setting = request.param
    workshop = workshop_of(tmp_path_factory.mktemp("stage"), way, setting)
    *earlier, name = workshop.recipe.stages
    for other in earlier:
        builder(other, workshop)(workshop.recipe).finish()
    return name, workshop, builder(name, workshop)(workshop.recipe)


def test_a_stage_learns_from_its_batches(stage):
    name, _, built = stage
    metrics = built.objective(*built.batch(Draw(0, name, 0, 4, Team())))
    metrics["loss"].backward()
    assert metrics["loss"].isfinite()
    assert all(p.grad is not None for p in built.objective.parameters())


def test_the_processes_of_a_team_share_one_batch(stage):
    name, _, built = stage
    whole = built.batch(Draw(0, name, 3, 4, Team()))
    parts = [built.batch(Draw(0, name, 3, 4, Team(rank, 2))) for rank in range(2)]
    for all_of_it, *pieces in zip(whole, *parts, strict=True):
        assert torch.equal(all_of_it, torch.cat(pieces))


def test_a_preview_is_a_picture(stage):
    assert min(stage[2].preview().size) >= 16


def test_scrambled_pictures_have_the_same_pieces_in_another_order():
    square = torch.randn(2, 3, 8, 8)
    same = torch.arange(16).expand(2, -1)
    assert torch.equal(scrambled(square, same), square)
    moved = scrambled(square, same.flip(1))
    assert torch.equal(moved[..., :2, :2], square[..., 6:, 6:])
    assert torch.equal(moved.flatten(2).sort().values, square.flatten(2).sort().values)
    assert scrambled(torch.zeros(1, 1, 10, 10), same[:1]).shape == (1, 1, 10, 10)


@pytest.mark.slow
def test_the_gradient_recipe_writes_digits_that_a_judge_reads(tmp_path):
    from sfumato.data.pictures import from_images
    from sfumato.evaluation.recognition import train_judge

    store = prepare("digits", 16, tmp_path, split="train")
    judge = train_judge(store, size=16, steps=250)
    pipeline = Pipeline.load(train("digits", tmp_path / "model", "gradient", quiet=True), device="cpu")
    pipeline.pictures_a_pass = 50
    made = pipeline(list(WORDS), count=10, seed=0).pictures
    assert judge.accuracy(from_images(made), [word for word in WORDS for _ in range(10)]) > 0.8


# --- restoring a picture ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    from PIL import Image

    path = tmp_path_factory.mktemp("pictures") / "blurred.png"
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(path)
    return path


def test_a_picture_is_restored_at_the_size_of_the_model_with_a_recipe_that_says_how(models, picture):
    made, recipe = restored(picture, models["cold"], 0.6, "a seven", steps=3, device="cpu")
    assert made.size == (16, 16)
    assert recipe["restored"] == {
        "picture": "blurred.png",
        "severity": 0.6,
        "prompt": "a seven",
        "steps": 3,
        "solver": "tacos",
    }
    assert recipe["model_fingerprint"] == Pipeline.load(models["cold"], device="cpu").model.fingerprint()
    again, _ = restored(picture, models["cold"], 0.6, "a seven", steps=3, device="cpu")
    assert again.tobytes() == made.tobytes()


def test_one_step_is_the_estimate_itself_and_several_are_not(models):
    way = Pipeline.load(models["cold"], device="cpu").way
    degraded = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.inference_mode():
        estimate = way.restorer(["", ""], 1.0, 2)(degraded, SEVERITY(torch.tensor(0.5)))
        one, several = (last(way.restore(degraded, 0.5, ["", ""], steps)) for steps in (1, 4))
    assert torch.allclose(one, estimate, atol=1e-5)
    assert not torch.allclose(several, estimate, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"severity": 0.0}, "severity is a number above 0"),
        ({"severity": float("nan")}, "severity is a number above 0"),
        ({"severity": 2.0}, "severity is a number above 0"),
        ({"severity": 0.5, "solver": "heun"}, "naive or tacos"),
        ({"severity": 0.5, "steps": 0}, "steps is a whole number from 1"),
        ({"severity": 0.5, "prompt": "x" * 10_001}, "at most 10000"),
    ],
)
def test_settings_that_mean_nothing_are_refused(models, picture, settings, said):
    with pytest.raises(PromptError, match=said):
        restored(picture, models["cold"], device="cpu", **settings)


def test_a_model_that_restores_nothing_and_a_file_that_is_no_picture_are_refused(models, picture, tmp_path):
    with pytest.raises(PromptError, match="only a model of cold diffusion"):
        restored(picture, models["gradient"], 0.5, device="cpu")
    (tmp_path / "text.png").write_text("no picture")
    for path in (tmp_path / "text.png", tmp_path / "missing.png"):
        with pytest.raises(PromptError, match=path.name):
            restored(path, models["cold"], 0.5, device="cpu")


def test_several_steps_back_from_text_need_to_know_where_it_lies(tmp_path_factory):
    out = train(
        "digits", tmp_path_factory.mktemp("text") / "model", "cold", [*SMALL, "restorer.degradation=text"], quiet=True
    )
    way = Pipeline.load(out, device="cpu").way
    degraded = torch.zeros(1, 3, 16, 16)
    with torch.inference_mode():
        assert last(way.restore(degraded, 0.5, [""], steps=1)).shape == degraded.shape
        assert last(way.restore(degraded, 0.5, [""], 3, degrade=way.degradation([1], 16))).isfinite().all()
        with pytest.raises(PromptError, match="Where the text lies is not known"):
            way.restore(degraded, 0.5, [""], steps=3)


def test_the_restore_command_writes_a_new_picture_and_says_what_is_wrong(models, picture, sfumato):
    for name in ("blurred-restored.png", "blurred-restored-2.png"):
        done = sfumato("restore", picture, "--model", models["cold"], "--severity", 0.4)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(picture.with_name(name))
    assert "was restored from another picture" in sfumato("replay", picture.with_name("blurred-restored.png")).stderr
    for arguments, said in (
        (["nowhere.png", "-m", models["cold"]], "nowhere.png"),
        ([picture, "-m", models["cold"], "--severity", 7], "severity"),
        ([picture, "-m", "no/such"], "no/such"),
    ):
        failed = sfumato("restore", *arguments)
        assert failed.returncode in (1, 2)
        assert said in failed.stderr
        assert "Traceback" not in failed.stderr
