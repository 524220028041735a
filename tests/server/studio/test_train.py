"""Train: data are looked at, time is told, a training is begun, watched, stopped and gone on with, its model used."""

import asyncio
import json

import pytest
from nicegui import ui
from PIL import Image

from sfumato.errors import TrainingError
from sfumato.server.studio.train import URL
from sfumato.server.studio.training.closer import FINDINGS, PAGE, folder_of
from sfumato.server.studio.training.trainings import Training
from sfumato.training import recipe as recipes

LONG = 150  # tries, a tenth of a second each


def a_button(person, text):
    return person.find(kind=ui.button, content=text)


def fill(person, label, value):
    with person:
        for kind in (ui.input, ui.select):
            for element in person.find(kind=kind).elements:
                if element.props.get("aria-label") == label:
                    element.value = value
                    return
    raise AssertionError(f"There is no field {label}.")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "home" / "photos"
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (80, 80), (90 * number, 0, 0)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a red number {number}")
    Image.new("RGB", (80, 80)).save(folder / "without.png")
    return folder


@pytest.fixture
def run(tmp_path):
    """A training that stands still."""
    run = tmp_path / "models" / "mine" / "run"
    (run / "clip").mkdir(parents=True)
    (run / "recipe.json").write_text(json.dumps(recipes.load("digits").model_dump(mode="json")))
    (run / "asked.json").write_text(json.dumps({"data": "digits", "recipe": "digits"}))
    (run / "clip" / "plan.json").write_text('{"steps": 150}')
    (run / "clip" / "metrics.jsonl").write_text('{"step": 20, "loss": 2.5, "steps_per_second": 4.0}\n')
    Image.new("RGB", (8, 8), "red").save(run / "clip" / "samples-00000020.png")
    return run


def test_a_folder_is_looked_at_and_what_is_wrong_with_it_told(stroll, photos):
    async def walk(person):
        await person.open("/train")
        fill(person, "Pictures with captions", "folder")
        fill(person, "Folder or .tar file of captioned pictures", str(photos))
        a_button(person, "Look at it").click()
        await person.should_see("3 pictures, 3 captions (3 different, 4.0 words on average).", retries=LONG)
        await person.should_see("a red number 1")
        await person.should_see("without.png")
        await person.should_see("Check every picture")

    stroll(walk)


def test_folders_are_offered_within_the_roots_alone(stroll, photos):
    async def walk(person):
        await person.open("/train")
        fill(person, "Pictures with captions", "folder")
        fill(person, "Folder or .tar file of captioned pictures", f"{photos.parent}/")
        await person.should_see("photos", retries=LONG)
        a_button(person, "photos").click()
        fill(person, "Folder or .tar file of captioned pictures", "/etc")
        a_button(person, "Look at it").click()
        await person.should_see("Only what lies in", retries=LONG)

    stroll(walk)


@pytest.mark.usefixtures("pretended")
def test_time_and_memory_are_told_before_anything_is_begun(stroll, tmp_path):
    async def walk(person):
        await person.open("/train")
        a_button(person, "How long will it take?").click()
        await person.should_see("About 80 s in all, from 40 samples, 2 left out", retries=LONG)
        await person.should_see("1.0 GiB of memory of 2.0 that were free")
        assert not (tmp_path / "models").exists()

    stroll(walk)


@pytest.mark.usefixtures("pretended")
def test_a_training_is_begun_stopped_gone_on_with_and_its_model_used(stroll, engine, tmp_path):
    async def walk(person):
        await person.open("/train")
        fill(person, "Name of the model", "mine")
        a_button(person, "Start").click()
        await person.should_see("It is being trained.", retries=LONG)
        a_button(person, "Stop").click()
        await person.should_see("It stands still", retries=LONG)
        (tmp_path / "models" / "mine" / "run" / "enough").touch()
        a_button(person, "Go on").click()
        await person.should_see("It is finished.", retries=LONG)
        a_button(person, "Use this model").click()
        await person.should_see("Make", retries=LONG)
        assert engine.models.names() == ["light", "mine"]

    stroll(walk)


@pytest.mark.usefixtures("pretended")
def test_when_the_server_ends_so_does_the_training_and_the_server_is_not_held_up(stroll, tmp_path):
    async def walk(person):
        await person.open("/train")
        fill(person, "Name of the model", "mine")
        a_button(person, "Start").click()
        await person.should_see("It is being trained.", retries=LONG)
        said = tmp_path / "models" / "mine" / "run" / "said.log"
        while "begins" not in said.read_text():
            await asyncio.sleep(0.02)

    stroll(walk)
    assert (tmp_path / "models" / "mine" / "run" / "said.log").read_text().endswith("Stopped.\n")


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize(
    ("label", "value", "told"),
    [
        ("Name of the model", "../mine", "A model's name has letters"),
        ("Time, such as 10m or 2h", "soon", "A budget is a time"),
        ("Name of the model", "mine", "There is a model mine already"),
    ],
)
def test_what_cannot_be_begun_is_told_in_words(stroll, run, label, value, told):
    async def walk(person):
        await person.open("/train")
        fill(person, label, value)
        a_button(person, "Start").click()
        await person.should_see(told, retries=LONG)

    stroll(walk)


def test_a_training_is_watched_with_its_curves_and_samples(stroll, run):
    async def walk(person):
        await person.open("/train?model=mine")
        await person.should_see("It stands still", retries=LONG)
        await person.should_see("step 20 of 150", retries=LONG)
        drawn = [element.content for element in person.find(kind=ui.html).elements if "<svg" in element.content]
        assert "loss 2.5 at step 20" in drawn[0]
        answer = await person.http_client.get(f"{URL}/samples/mine/clip/samples-00000020.png")
        assert answer.headers["content-type"] == "image/png"
        for path in ("mine/clip/samples-00000021.png", "mine/../recipe.json", "../mine/clip/x.png", "other/clip/a.png"):
            assert (await person.http_client.get(f"{URL}/samples/{path}")).status_code == 404

    stroll(walk)


def test_why_a_training_does_not_go_on_stays_to_be_read(stroll, run, monkeypatch):
    def refused(training):
        raise TrainingError("There is no room.")

    looked = []
    said = Training.said.fget
    monkeypatch.setattr("sfumato.server.studio.training.run_panel.EVERY", 0.05)
    monkeypatch.setattr(Training, "said", property(lambda training: looked.append(1) or said(training)))
    monkeypatch.setattr(Training, "go_on", refused)

    async def walk(person):
        await person.open("/train?model=mine")
        await person.should_see("It stands still", retries=LONG)
        a_button(person, "Go on").click()
        await person.should_see("There is no room.", retries=LONG)
        before = len(looked)
        while len(looked) < before + 4:
            await asyncio.sleep(0.05)
        await person.should_see("There is no room.")

    stroll(walk)


def test_the_report_of_a_check_runs_nothing(stroll, tmp_path):
    folder = folder_of(tmp_path / "studio" / "checks", "/home/me/photos")
    folder.mkdir(parents=True)
    (folder / PAGE).write_text("<script>alert(1)</script>")
    (folder / FINDINGS).touch()

    async def walk(person):
        await person.open("/train")
        answer = await person.http_client.get(f"{URL}/checks/{folder.name}")
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert (await person.http_client.get(f"{URL}/checks/..")).status_code == 404

    stroll(walk)


def test_with_keys_nobody_trains_unless_it_is_allowed(stroll, run):
    async def walk(person):
        await person.open("/enter")
        fill(person, "Key", "secret")
        a_button(person, "Enter").click()
        await person.should_see("Make", retries=LONG)
        await person.open("/train")
        await person.should_see("has not allowed to train")
        await person.should_not_see("Start")
        assert (await person.http_client.get(f"{URL}/samples/mine/clip/samples-00000020.png")).status_code == 403

    stroll(walk, keys={"secret": "someone"})
