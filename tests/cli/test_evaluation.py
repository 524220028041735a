"""`sfumato evaluate` and `sfumato report` as a person meets them."""

import json

import pytest


def test_a_model_is_evaluated_and_its_report_finds_what_was_measured(sfumato, tmp_path):
    done = sfumato("evaluate", "digits", "-n", 4, "--steps", 2, "-q")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "4 pictures for captions of digits, seen by digits/image_encoder (128 features)" in lines[0]
    assert any(line.startswith("Fréchet distance") and line.rstrip().endswith("lower") for line in lines)
    assert lines[-1] == "digits-evaluation"
    assert json.loads((tmp_path / "digits-evaluation" / "metrics.json").read_text())["kind"] == "general"

    told = sfumato("report", "digits")
    assert (told.returncode, told.stdout.strip()) == (0, "report.html"), told.stderr
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Fréchet distance" in page
    assert page.count('alt="Picture made for:') == 4


def test_a_report_makes_the_pictures_that_it_is_asked_for(sfumato, tmp_path):
    told = sfumato("report", "digits", "--prompt", "a purple seven", "-o", "out/page.html")
    assert told.returncode == 0
    assert "never saw these words" in told.stderr
    assert 'alt="Picture made for: a purple seven"' in (tmp_path / "out" / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "digits", "--data", "nowhere"], "nowhere"),
        (["evaluate", "digits", "--features", "inception"], "Give the folder of a CLIP or DINOv2 instead"),
        (["evaluate", "no-such-model"], "There is no model"),
        (["report", "digits", "--evaluation", "."], "holds no evaluation"),
    ],
)
def test_what_cannot_be_evaluated_is_one_clear_line(sfumato, arguments, said):
    done = sfumato(*arguments)
    assert done.returncode == 1
    assert said in done.stderr


def test_scenes_are_told_category_by_category_beside_their_ceilings(sfumato, tmp_path, monkeypatch):
    from sfumato.evaluation import scene_evaluation

    both = {"seen": 0.95, "held_out": 0.9}
    metrics = {
        "model": {"name": "emoji"},
        "pictures": 456,
        "sprites": {"concepts": 150, "origin": "a font"},
        "categories": {"single": {"seen": 1.0}, "binding": both},
        "overall": both,
        "ceilings": {"real": {"seen": 1.0, "held_out": 0.996}},
        "variety": {"distance": 0.5, "places": 0.25},
        "memory": {"made": 0.3, "closest": 0.2, "real": 0.31, "known": 4096},
    }
    asked = {}

    def run(model, **settings):
        asked.update(settings, model=model)
        return scene_evaluation.Evaluated(metrics, tmp_path)

    monkeypatch.setattr(scene_evaluation, "run", run)
    done = sfumato("evaluate", "emoji", "--scenes", "-n", 24, "--sprites", "pack.png")
    assert done.returncode == 0
    assert (asked["model"], asked["count"], str(asked["sprites"])) == ("emoji", 24, "pack.png")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["single", "100.0%", "-"] in lines
    assert ["overall", "95.0%", "90.0%"] in lines
    assert ["real", "100.0%", "99.6%"] in lines
