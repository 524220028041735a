"""X-ray pages: whole in themselves, small, and safe whatever a prompt says."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import synthetic
from sfumato.evaluation.neighbours import Neighbour
from sfumato.pages.frame import digest
from sfumato.server.xray.effects import Effect, changed
from sfumato.server.xray.page import page, script
from sfumato.server.xray.path import paths
from sfumato.server.xray.timetable import timetable

EVIL = "\"'></script><script>alert(1)</script><img src=x onerror=alert(1)> $name {0} %s"
EMPTY = {"img", "meta", "br", "circle", "line", "polyline", "input"}


class Reader(HTMLParser):
    """A strict one: tags close in order; what there is, is kept."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.programs, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes), tuple(self.open)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.tags and self.open and self.open[-1] == "script"
        (self.programs if inside else self.text).append(data)

    def all(self, name):
        return [attributes for tag, attributes, _ in self.tags if tag == name]


@pytest.fixture(scope="module")
def full():
    trace = synthetic.trace()
    effects = [Effect("red", synthetic.scene(64, red=False)), Effect("disc", synthetic.scene(64), "ring")]
    near = [Neighbour(synthetic.scene(16), "a disc", 0.25)]
    return page(trace, [synthetic.trace(seed=4)], effects, against=synthetic.trace("a square"), near=near)


def test_every_section_is_there_and_only_those_of_what_is_known(full):
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", full)
    assert titles == [
        "Where each word acts",
        "Step by step",
        "Word by word",
        "The timetable",
        "The way of the latent",
        "Nearest training pictures",
        "What was asked for",
    ]
    fewer = re.findall(r"<h2[^>]*>(.*?)</h2>", page(synthetic.trace()))
    assert [title for title in titles if title not in fewer] == ["Word by word", "Nearest training pictures"]


def test_a_page_asks_nothing_of_the_world_and_runs_its_own_program_alone(full):
    read = Reader(full)
    assert not re.search(r"(src|href|action)\s*=\s*.?\s*(https?:)?//", full, re.IGNORECASE)
    assert "url(" not in full
    assert not read.all("link") + read.all("iframe") + read.all("a")
    assert all(picture.get("src", "data:image/webp;").startswith("data:image/webp;") for picture in read.all("img"))
    programs = [one for one in read.all("script") if one.get("type") != "application/json"]
    assert programs == [{}]
    (policy,) = [one["content"] for one in read.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert f"script-src '{digest(script())}'" in policy
    assert not [name for _, attributes, _ in read.tags for name in attributes if name.startswith("on")]


def test_pictures_drawings_and_controls_are_named(full):
    read = Reader(full)
    assert all(picture["alt"].strip() for picture in read.all("img"))
    assert all(drawing["aria-label"] for drawing in read.all("svg"))
    for tag, attributes, around in read.tags:
        if tag in ("input", "select"):
            assert "label" in around, attributes
    identifiers = [attributes["id"] for _, attributes, _ in read.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert all(one["aria-labelledby"] in identifiers for one in read.all("section"))


def test_what_a_prompt_says_is_text_everywhere():
    trace = synthetic.trace(EVIL)
    harmless = Reader(page(synthetic.trace("x")))
    effects, near = [Effect(EVIL, synthetic.scene(64), EVIL)], [Neighbour(synthetic.scene(16), EVIL, 0.1)]
    text = page(trace, effects=effects, against=synthetic.trace(EVIL, seed=9), near=near)
    read = Reader(text)
    assert len([one for one in read.all("script") if "type" not in one]) == 1
    assert all(picture.get("src", "data:").startswith("data:") for picture in read.all("img"))
    assert not any("alert" in program and "{" not in program for program in read.programs)
    assert not [one for one in read.all("img") if "onerror" in one]
    assert "$name {0} %s" in "".join(read.text)
    assert len(harmless.all("body")) == len(read.all("body")) == 1


def test_the_program_knows_each_step_and_a_map_for_each_moment():
    trace = synthetic.trace(steps=4)
    told = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page(trace), re.DOTALL)[1])
    assert [step["step"] for step in told["steps"]] == [1, 2, 3, 4]
    assert [view["name"] for view in told["views"]] == [
        "all layers",
        "down 0.0",
        "middle 0",
        "up 1.0",
        "group of heads 1",
        "group of heads 2",
    ]
    assert [view["first"] for view in told["views"]] == [0, 5, 10, 15, 20, 25]
    assert set(told["words"]) == {str(number) for number in range(len(trace.words))}
    assert told["words"]["2"]["where"].startswith("in the left side")
    assert told["words"]["6"]["where"].startswith("in the right side")


def test_a_page_of_twenty_steps_at_256_pixels_is_below_five_megabytes():
    chance = np.random.default_rng(0)
    trace = synthetic.trace(steps=20, side=256)
    rough = Image.fromarray(chance.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    steps = tuple(
        replace(one, noisy_picture=rough, clean_picture=rough, conditional_picture=rough, unconditional_picture=rough)
        for one in trace.steps
    )
    worst = page(replace(trace, picture=rough, steps=steps), effects=[Effect(str(i), rough) for i in range(12)])
    assert len(worst) < 5e6


def test_a_trace_without_attention_and_guidance_still_makes_a_page():
    text = page(synthetic.trace(layers=(), guided=False))
    read = Reader(text)
    assert not [one for one in read.all("button") if "word" in one["class"]]
    assert "No attention was recorded" in text
    assert [one.get("data-kind") for one in read.all("img") if "data-kind" in one] == ["noisy", "clean", "noise"]
    assert "Guidance<small>" not in text


def test_unknown_words_and_weights_and_pieces_are_told():
    text = page(synthetic.trace())
    assert text.count('class="unknown"') == 1
    assert re.search(r"<b>bleu</b>.*?<i>bl</i> <i>eu</i>", text)
    assert '<span class="weight">×1.3</span>' in text


def test_curves_leave_out_what_is_infinite():
    drawn = timetable([synthetic.trace(steps=5)], [""])
    assert "inf" not in drawn
    assert "nan" not in drawn
    assert drawn.count("<svg") == 4


def test_a_timetable_that_two_prompts_share_is_drawn_once():
    both = timetable([synthetic.trace(), synthetic.trace("a square")], ["“one”", "“two”"])
    assert both.count("<polyline") == timetable([synthetic.trace()], [""]).count("<polyline")


def test_ways_are_drawn_beside_those_that_can_be_compared():
    trace = synthetic.trace()
    drawn = paths(trace, [synthetic.trace(seed=4), synthetic.trace(steps=3, seed=5)])
    assert drawn.count("<polyline") == 2
    assert "seed 4" in drawn
    assert "seed 5" not in drawn


def test_the_share_that_a_word_changes_is_that_of_its_pixels():
    one, other = synthetic.scene(64), synthetic.scene(64, red=False)
    share = (changed(one, other) > 0.1).mean()
    assert share == pytest.approx(np.pi * 0.18**2, rel=0.1)
    assert not changed(one, one).any()
