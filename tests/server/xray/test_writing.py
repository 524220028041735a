"""The X-ray page of a text: each token tells what might have come, and nothing of it is taken for markup."""

import json
import re

import pytest

from sfumato.pipelines.language.language_model import Text
from sfumato.pipelines.language.tracing import Candidate, NextToken, TextTrace
from sfumato.server.xray.writing import MOST_CANDIDATES, surprise, text_page

EVIL = "</script><script>alert(1)</script>"


def traced(chosen=("cat", " \n", EVIL), prompt="the"):
    steps = []
    for number, text in enumerate(chosen):
        mine = Candidate(number, text, 0.6 / 10**number, 0.5)
        rest = tuple(Candidate(100 + i, f"w{i}", 0.02, 0.0) for i in range(30))
        steps.append(NextToken(mine, number, (mine, *rest) if number < 2 else rest, 5, 0.25, 1.5))
    text = Text(prompt, "".join(chosen), 3, tuple(range(len(chosen))), (-1.0,) * len(chosen), "limit")
    return TextTrace(text, tuple(steps))


def known(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])["steps"]


def test_each_token_tells_its_candidates_and_itself_among_them():
    steps = known(text_page(traced()))
    assert [step["chosen"] for step in steps] == ["cat", "·⏎", EVIL.replace(" ", "·")]
    assert [len(step["candidates"]) for step in steps] == [MOST_CANDIDATES, MOST_CANDIDATES, MOST_CANDIDATES + 1]
    for step in steps:
        assert [one[3] for one in step["candidates"]].count(True) == 1
    assert steps[0]["candidates"][0] == ["cat", 0.6, 0.5, True]


def test_what_is_written_and_what_might_have_been_is_text():
    page = text_page(traced(prompt=EVIL), facts=[EVIL])
    assert page.count("<script>") == 1
    assert "alert(1)</script><" not in page
    assert not re.search(r"(src|href)=.?(https?:)?//", page)


@pytest.mark.parametrize(
    ("probability", "name"), [(1.0, "sure"), (0.3, "likely"), (0.05, "unlikely"), (1e-9, "strange")]
)
def test_the_less_probable_the_stranger(probability, name):
    assert surprise(probability) == name


def test_a_text_of_nothing_is_told():
    assert "Nothing was written" in text_page(traced(chosen=()))


def test_the_page_of_a_text_works_in_a_browser(chromium, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    file = tmp_path / "text.html"
    file.write_text(text_page(traced()), encoding="utf-8")
    for scheme, width in (("light", 1000), ("dark", 390)):
        tab = chromium.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
        wrong = []
        tab.on("pageerror", lambda error, wrong=wrong: wrong.append(str(error)))
        tab.goto(file.as_uri())
        assert tab.locator(".next tr").count() == MOST_CANDIDATES + 1
        slider = tab.get_by_role("slider", name="Token")
        slider.focus()
        tab.keyboard.press("ArrowRight")
        assert tab.locator("output").inner_text().startswith("2 of 3: number 2 by the model; the rules left 5")
        tab.locator(".token").last.hover()
        assert "← written" in tab.locator(".next tr").last.inner_text()
        found = axe.Axe().run(tab).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert not wrong
        tab.close()
