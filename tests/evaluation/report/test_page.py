"""The report card: whole in itself, readable by all, and safe whatever a model or an evaluation says."""

import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from sfumato.errors import CheckpointError
from sfumato.evaluation.report.card import Card, card, known_prompts
from sfumato.evaluation.report.evaluations import Sample, evaluations
from sfumato.evaluation.report.limits import known_limits
from sfumato.evaluation.report.page import page, write_page
from sfumato.evaluation.report.sections import ORDER
from sfumato.evaluation.report.training_curves import training_curves
from sfumato.pipelines.facts import Facts, PartFacts
from sfumato.pipelines.keepsake import save_picture

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>$name {0} %s"
EMPTY = {"img", "meta", "link", "br", "circle", "line", "polyline", "input"}


class Reader(HTMLParser):
    """A strict one: tags close in order; what there is, is kept."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def picture(shade=100):
    return Image.new("RGB", (16, 16), (shade, 90, 200))


def made(**other):
    facts = Facts([("model", "m"), ("folder", "/home/somebody/m"), ("licence", "MIT")], [])
    known = {"lineage": {}, "samples": [], "pairs": [], "curves": {}, "general": None, "scenes": None, "limits": []}
    return Card(**{"name": "m", "facts": facts, **known, **other})


@pytest.fixture
def full():
    score = {"value": 1.5, "real": None}
    return made(
        lineage={"recipe": {"description": "squares"}},
        facts=Facts([("model", "m"), ("licence", "MIT")], [PartFacts("unet", "UNet", 12, "F16", 24)]),
        samples=[Sample(picture(), "a square", 3), Sample(picture(), "a circle", None)],
        pairs=[(picture(), picture(99))],
        curves={"denoiser": {"loss": [(1, 2.0), (2, 1.0)]}},
        general={"scores": {"frechet": score, "psnr": score}, "data": {"source": "squares", "pictures": 9}},
        scenes={"overall": {"seen": 0.9, "held_out": 0.8}, "categories": {"two": {"seen": 0.95, "held_out": 0.85}}},
        limits=["It knows squares."],
    )


def test_a_full_card_shows_every_section_and_an_empty_one_only_what_is_known(full):
    assert len(Reader(page(full)).all("h2")) == len(ORDER)
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page(made()))
    assert titles == ["Origin and licence", "Known limits"]


def test_the_page_asks_nothing_of_the_world(full):
    text = page(full)
    read = Reader(text)
    assert all(image["src"].startswith("data:image/png;base64,") for image in read.all("img"))
    assert not {"script", "link", "iframe", "object", "form", "base"} & {tag for tag, _ in read.tags}
    assert not re.search(r"(?:https?:)?//|url\(|@import", text.replace("data:image/png;base64,", ""))
    (policy,) = (meta["content"] for meta in read.all("meta") if "http-equiv" in meta)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_the_page_can_be_read_by_all(full):
    read = Reader(page(full))
    assert read.all("html") == [{"lang": "en"}]
    assert len(read.all("h1")) == 1
    assert all(image["alt"] for image in read.all("img"))
    assert all(drawing["aria-label"] and drawing["role"] == "img" for drawing in read.all("svg"))
    assert all(head.get("scope") in ("col", "row") for head in read.all("th"))
    assert len(read.all("caption")) == len(read.all("table"))
    named = {heading["id"] for heading in read.all("h2")}
    assert all(section["aria-labelledby"] in named for section in read.all("section"))
    assert "width=device-width" in next(m["content"] for m in read.all("meta") if m.get("name") == "viewport")


def test_nothing_from_outside_becomes_markup():
    evil = {EVIL: {EVIL: 0.5, "seen": 0.5, "held_out": EVIL}, "two": EVIL}
    hostile = made(
        name=EVIL,
        facts=Facts([("licence", EVIL), (EVIL, EVIL)], [PartFacts(EVIL, EVIL, 1, EVIL, 2)]),
        lineage={"recipe": {"description": EVIL}},
        samples=[Sample(picture(), EVIL, 1)],
        curves={EVIL: {EVIL: [(0, 1), (1, 2)]}},
        general={"scores": {"frechet": {"value": EVIL, "real": [1]}}, "data": {"source": EVIL, "pictures": EVIL}},
        scenes={"categories": evil, "overall": {"seen": EVIL}},
        limits=[EVIL],
    )
    read = Reader(page(hostile))
    assert not read.all("script")
    assert len(read.all("img")) == 1
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    assert EVIL in "".join(read.text)


@pytest.mark.parametrize(
    "told",
    [
        {"scores": [], "categories": 3},
        {"scores": {"frechet": 3}, "categories": {"a": 3}},
        {"scores": {"frechet": {"value": True}}, "categories": {"a": {"seen": 7}}, "data": 5, "features": []},
        {"scores": {}, "categories": {}, "overall": []},
    ],
)
def test_numbers_that_are_none_spoil_no_page(told):
    Reader(page(made(general=told, scenes=told)))


def test_what_lies_where_on_the_disk_is_not_told():
    assert "/home/somebody" not in page(made())


def test_scenes_stand_with_seen_before_held_out_and_the_whole_first(full):
    text = page(full)
    assert text.index(">seen<") < text.index(">held-out<")
    assert text.index(">overall<") < text.index(">two<")
    assert "width:95.0%" in text
    assert ">0.950<" in text


# --- what is found ----------------------------------------------------------------------------------------------------


def evaluated(folder, kind="general", prompts=("a", "b", "a")):
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"kind": kind, "scores": {}}))
    for place, prompt in enumerate(prompts):
        recipe = {"request": {"prompt": prompt, "seed": place}}
        save_picture(picture(place), folder / "pictures" / f"{place:05}.png", recipe)
    for name in ("1-original", "1-again", "2-original"):
        save_picture(picture(), folder / "reconstructions" / f"{name}.png", {})
    return folder


def test_an_evaluation_gives_its_pictures_different_prompts_first(tmp_path):
    folder = evaluated(tmp_path / "model" / "evaluation")
    (folder / "pictures" / "00003.png").write_bytes(b"no picture")
    picture().save(folder / "pictures" / "00004.png")  # without a recipe
    (one,) = evaluations(tmp_path / "model", tmp_path / "nothing-here", [])
    assert [(s.prompt, s.seed) for s in one.samples(9)] == [("a", 0), ("b", 1), ("a", 2)]
    assert [(s.prompt, s.seed) for s in one.samples(1)] == [("a", 0)]
    assert len(one.reconstructions()) == 1


def test_a_folder_without_an_evaluation_is_refused_only_where_it_was_named(tmp_path):
    (tmp_path / "other.json").write_text('{"kind": "else"}')
    assert evaluations(tmp_path, tmp_path / "nothing-here", []) == []
    with pytest.raises(CheckpointError, match="holds no evaluation"):
        evaluations(tmp_path, tmp_path / "nothing-here", [tmp_path])


def test_curves_are_read_in_the_order_of_stages_without_broken_lines(tmp_path):
    for stage in ("alpha", "beta", "zeta"):
        (tmp_path / "run" / stage).mkdir(parents=True)
    lines = [
        '{"step": 1, "loss": 2.5, "gradient": 9}',
        '{"step": 2, "loss": NaN}',
        '{"step": 3, "loss": 1.5',
        "[]",
        '{"loss": 1}',
        '{"step": 4, "loss": true, "other": "x"}',
        '{"step": 5, "loss": 1, "retrieval": 0.5}',
    ]
    (tmp_path / "run" / "zeta" / "metrics.jsonl").write_text("\n".join(lines))
    (tmp_path / "run" / "alpha" / "metrics.jsonl").write_text(lines[0])
    (tmp_path / "run" / "beta" / "metrics.jsonl").write_text("")
    found = training_curves(tmp_path, ["zeta"])
    assert list(found) == ["zeta", "alpha"]
    assert found["zeta"] == {"loss": [(1, 2.5), (5, 1)], "retrieval": [(5, 0.5)]}


def test_known_limits_are_those_of_the_models_own_page(tmp_path):
    assert known_limits(tmp_path) == []
    points = "- `five` is\n  four\n- it **guesses**\n\nA paragraph\nof two lines."
    (tmp_path / "README.md").write_text(f"# m\n\n## Known failures\n\n{points}\n\n## Next\n\n- no")
    assert known_limits(tmp_path) == ["five is four", "it guesses", "A paragraph of two lines."]
    (tmp_path / "README.md").write_text("# m\n- nothing")
    assert known_limits(tmp_path) == []


def test_prompts_are_those_that_a_training_knew(tmp_path):
    store = tmp_path / "run" / "pictures" / "squares-16"
    store.mkdir(parents=True)
    lines = [json.dumps({"captions": [f"square {i // 2}", "x"]}) for i in range(20)]
    (store / "entries.jsonl").write_text("\n".join([*lines, "broken", "[]", '{"captions": [3]}']))
    assert known_prompts(tmp_path, {}, 5) == ["square 0", "square 2", "square 4", "square 6", "square 8"]
    assert known_prompts(tmp_path, {"data": {"source": "digits"}}, 5)[7] == "a handwritten seven"


def test_the_card_of_the_embedded_model_is_made_from_its_folder_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = evaluated(tmp_path / "digits-evaluation")
    found = card("digits", device="cpu")
    assert folder.is_dir()
    assert [sample.prompt for sample in found.samples] == ["a", "b", "a"]
    assert any("digit" in point for point in found.limits)
    write_page(found, tmp_path / "report.html")
    read = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Apache-2.0" in "".join(read.text)
