"""X-ray pages in a real browser: words light up, the slider moves, all can use them, nothing is asked of the world."""

from html import escape

import pytest

import synthetic
from sfumato.server.xray.effects import Effect
from sfumato.server.xray.page import page

LIGHT = """canvas => {
    const {data, width} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0, at = 0;
    for (let i = 0; i < data.length; i += 4) { sum += data[i + 3]; at += data[i + 3] * ((i / 4) % width); }
    return at / sum / width;
}"""  # where the light lies, from left to right


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A page with all its sections, on disk."""
    trace = synthetic.trace()
    effects = [Effect("red", synthetic.scene(64, red=False))]
    file = tmp_path_factory.mktemp("xray") / "xray.html"
    file.write_text(page(trace, [synthetic.trace(seed=4)], effects, against=synthetic.trace("a square", steps=4)))
    return file


@pytest.fixture
def shown(chromium, written):
    """Opens it; at the end no program may have failed, and nothing may have been asked for."""
    opened, wrong = [], []

    def show(file=written, **how):
        tab = chromium.new_page(**{"viewport": {"width": 1000, "height": 800}, **how})
        tab.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
        tab.goto(file.as_uri())
        opened.append(tab)
        return tab

    yield show
    for tab in opened:
        tab.close()
    assert not wrong


def word(tab, text):
    return tab.locator("[data-panel='0'] button.word", has_text=text)


def step_to(tab, number):
    tab.locator("input[type=range]").evaluate(
        "(slider, at) => { slider.value = at; slider.dispatchEvent(new Event('input', {bubbles: true})); }", number
    )


@pytest.mark.parametrize("how", [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"width": 390}], ids=str)
def test_no_serious_fault_is_found_by_axe_and_nothing_sticks_out(shown, how):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    width = how.pop("width", 1000)
    tab = shown(viewport={"width": width, "height": 800}, **how)
    word(tab, "disc").click()
    for summary in tab.locator("summary").all():
        summary.click()
    found = axe.Axe().run(tab).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_word_lights_up_where_it_acts_and_stays_when_pressed(shown):
    tab = shown()
    canvas, told = tab.locator("canvas").first, tab.locator(".where").first
    word(tab, "square").hover()
    told.get_by_text("“square” acts in the right side").wait_for()
    tab.wait_for_function("document.querySelector('canvas').width === 192")
    assert canvas.evaluate(LIGHT) > 0.55
    word(tab, "disc").click()
    tab.mouse.move(5, 5)
    assert word(tab, "disc").get_attribute("aria-pressed") == "true"
    told.get_by_text("“disc” acts in the left side").wait_for()
    tab.wait_for_function(f"canvas => ({LIGHT})(canvas) < 0.45", arg=canvas.element_handle())
    word(tab, "disc").click()
    tab.mouse.move(5, 5)
    tab.locator("h1").click()
    word(tab, "disc").blur()
    assert "on" not in (canvas.get_attribute("class") or "")
    assert "Point at a word" in told.inner_text()


def test_words_and_steps_are_reached_by_the_keyboard(shown):
    tab = shown()
    word(tab, "red").focus()
    tab.locator(".where").first.get_by_text("“red” acts").wait_for()
    tab.keyboard.press("Enter")
    assert word(tab, "red").get_attribute("aria-pressed") == "true"
    slider = tab.get_by_role("slider", name="Step")
    slider.focus()
    assert slider.get_attribute("aria-valuetext") == "step 6 of 6"
    tab.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == "step 5 of 6"


def test_the_slider_moves_the_pictures_of_both_prompts_and_the_marks(shown):
    tab = shown()
    rows = tab.locator(".row")
    before = [rows.nth(n).locator("[data-kind=noisy]").get_attribute("src") for n in range(2)]
    step_to(tab, 0)
    after = [rows.nth(n).locator("[data-kind=noisy]").get_attribute("src") for n in range(2)]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert tab.locator("output").inner_text().startswith("1 of 6: α 0.000, σ 1.000")
    assert tab.locator(".now").first.evaluate("mark => mark.style.transform") == "translateX(0px)"
    assert [row.locator(".here").count() for row in rows.all()] == [1, 1]
    rows.nth(1).locator(".strip li").last.click()
    assert tab.locator("output").inner_text().startswith("6 of 6")


def test_a_picture_that_was_not_kept_is_told_to_be_of_another_step(shown):
    tab = shown()
    step_to(tab, 1)  # the synthetic trace parts every other step
    figure = tab.locator(".row").first.locator("figure", has=tab.locator("[data-kind=conditional]"))
    assert "at step 1" in figure.inner_text()
    assert figure.locator("img").get_attribute("alt") == "With the prompt, step 1"


def test_the_attention_of_one_step_lies_over_its_estimate(shown):
    tab = shown()
    picture = tab.locator("img.shown").first
    finished = picture.get_attribute("src")
    step_to(tab, 2)
    assert picture.get_attribute("src") == finished
    tab.get_by_label("this step").check()
    assert picture.get_attribute("src") != finished
    assert picture.get_attribute("alt") == "Estimate at step 3"
    tab.get_by_role("combobox").select_option(label="middle 0")
    word(tab, "disc").hover()
    tab.wait_for_function("document.querySelector('canvas').width === 192")
    tab.get_by_label("all steps", exact=True).check()
    assert picture.get_attribute("src") == finished


def test_playing_goes_to_the_end_and_is_not_offered_to_who_wants_no_motion(shown):
    tab = shown()
    step_to(tab, 4)
    assert tab.locator(".play").evaluate("play => { play.click(); return play.textContent; }") == "Pause"
    tab.get_by_role("button", name="Play").wait_for()
    assert tab.locator("output").inner_text().startswith("6 of 6")
    still = shown(reduced_motion="reduce")
    assert not still.locator(".play").is_visible()


def test_a_page_works_in_a_frame_of_another_one(shown, tmp_path):
    outer = tmp_path / "outer.html"
    frame = f'<iframe title="X-ray" sandbox="allow-scripts" srcdoc="{escape(page(synthetic.trace(steps=3)))}"></iframe>'
    outer.write_text(
        f"<!DOCTYPE html><html lang='en'><meta charset='utf-8'><title>x</title><body>{frame}</body></html>"
    )
    tab = shown(outer)
    inside = tab.frame_locator("iframe")
    inside.locator("button.word", has_text="disc").click()
    inside.locator(".where").get_by_text("“disc” acts").wait_for()
