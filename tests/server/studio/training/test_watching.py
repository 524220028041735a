"""A run folder is followed as a training writes it, whatever moment it is caught at."""

import json
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from sfumato.server.studio.training.curves import curves
from sfumato.server.studio.training.estimate import clock
from sfumato.server.studio.training.watching import MOST_POINTS, Curve, Metrics, Watch
from sfumato.training import recipe as recipes


def written(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def run(tmp_path):
    told = recipes.load("digits").model_dump(mode="json")
    written(tmp_path / "recipe.json", {**told, "budget": "10m"})
    return tmp_path


def test_before_a_training_has_read_its_recipe_there_are_no_stages(tmp_path):
    assert Watch(tmp_path / "nowhere").stages() == []


def test_stages_wait_prepare_train_and_are_done(run):
    watch = Watch(run)
    assert [stage.state for stage in watch.stages()] == ["preparing", "waiting", "waiting", "waiting"]
    written(run / "autoencoder" / "plan.json", {"steps": 600})
    written(run / "autoencoder" / "metrics.jsonl", {"step": 150, "loss": 0.5, "steps_per_second": 3.0})
    first = watch.stages()[0]
    assert (first.state, first.step, first.steps, first.seconds_left) == ("training", 150, 600, 150)
    written(run / "autoencoder" / "done.json", {"steps": 600})
    first, second, *_ = watch.stages()
    assert (first.state, first.step, first.seconds_left) == ("done", 600, None)
    assert second.state == "preparing"


def test_metrics_are_read_on_and_half_a_line_waits(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path)
    metrics.read()
    written(path, {"step": 20, "loss": 1.0}, '{"step": 40, "lo')
    metrics.read()
    assert metrics.curves["loss"].points == [(20, 1.0)]
    written(path, 'ss": 0.5}\n')
    metrics.read()
    assert metrics.curves["loss"].points == [(20, 1.0), (40, 0.5)]


def test_a_training_that_went_back_is_read_anew(tmp_path):
    path = tmp_path / "metrics.jsonl"
    written(path, {"step": 20, "loss": 1.0}, {"step": 40, "loss": 9.0})
    metrics = Metrics(path)
    metrics.read()
    (tmp_path / "new").write_text('{"step": 20, "loss": 1.0}\n{"step": 30, "loss": 0.8}\n{"step": 40, "loss": 0.7}\n')
    (tmp_path / "new").replace(path)
    metrics.read()
    assert [step for step, _ in metrics.curves["loss"].points] == [20, 30, 40]


def test_lines_that_are_no_metrics_are_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    written(path, "rubbish\n", "[1]\n", "{}\n", '{"step": "x"}\n', '{"step": 3, "loss": NaN}\n', {"step": 4, "loss": 2})
    metrics = Metrics(path)
    metrics.read()
    assert metrics.curves["loss"].points == [(4, 2.0)]


def test_a_long_curve_is_thinned_evenly():
    curve = Curve()
    for step in range(100 * MOST_POINTS):
        curve.add(step, 1.0)
    steps = [step for step, _ in curve.points]
    assert MOST_POINTS / 2 <= len(steps) <= MOST_POINTS
    assert len({later - step for step, later in pairwise(steps)}) == 1


def test_samples_are_shown_oldest_first_and_nothing_else(run):
    folder = run / "clip"
    for name in ("samples-00000020.png", "samples-00000010.png", "samples-00000030.txt", "step-00000010.safetensors"):
        written(folder / name, "x")
    samples = Watch(run).stages()[1].samples
    assert [path.stem[-2:] for path in samples] == ["10", "20", "30"]


def test_curves_are_a_picture_with_its_numbers_in_words():
    points = [(step, 2.0 / step) for step in range(1, 200)]
    drawn = curves("<denoiser>", {"loss": points, "validation_loss": points[::20]})
    svg = ElementTree.fromstring(drawn)
    assert svg.get("role") == "img"
    assert "loss 0.01005 at step 199" in svg.get("aria-label")
    assert len(svg.findall("polyline")) == 4
    places = re.findall(r"[\d.-]+,([\d.-]+)", svg.find("polyline").get("points"))
    assert all(0 <= float(y) <= 180 for y in places)
    assert float(places[0]) < float(places[-1])  # the loss falls: larger values stand higher


def test_there_is_nothing_to_draw_before_the_first_value_and_one_value_is_enough():
    assert curves("clip", {}) == curves("clip", {"loss": []}) == ""
    (dot,) = ElementTree.fromstring(curves("clip", {"loss": [(1, 0.0)]})).iter("circle")
    assert dot.get("class") == "curve-1"


def test_durations_are_told_as_people_do():
    assert [clock(seconds) for seconds in (0.2, 40, 700, 7500)] == ["1 s", "40 s", "12 min", "2 h 05 min"]
