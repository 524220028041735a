"""Edit and Train in a real browser: strokes and boxes reach the engine as they were drawn, by mouse and by keyboard."""

import json

import pytest
from PIL import Image
from playwright.sync_api import expect

from light_studio import LightEngine, done
from served_studio import served
from sfumato.pipelines.request import Request
from sfumato.server.store import Store
from sfumato.training import recipe as recipes
from watched_tab import violations, watched


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        made = LightEngine(store)
        yield made
        made.end()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where the server was started: with a folder of photos, and a training that stands still."""
    home = tmp_path_factory.mktemp("home")
    (home / "photos").mkdir()
    for number in range(3):
        Image.new("RGB", (80, 80), (90 * number, 0, 0)).save(home / "photos" / f"{number}.png")
        (home / "photos" / f"{number}.txt").write_text(f"a red number {number}")
    clip = home / "models" / "mine" / "run" / "clip"
    clip.mkdir(parents=True)
    (clip.parent / "recipe.json").write_text(json.dumps(recipes.load("digits").model_dump(mode="json")))
    (clip.parent / "asked.json").write_text(json.dumps({"data": "digits", "recipe": "digits"}))
    (clip / "plan.json").write_text('{"steps": 150}')
    (clip / "metrics.jsonl").write_text("".join(f'{{"step": {step}, "loss": {9 / step}}}\n' for step in range(1, 90)))
    Image.new("RGB", (64, 16), "red").save(clip / "samples-00000020.png")
    return home


@pytest.fixture(scope="module")
def address(engine, home, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        with served(engine, tmp_path_factory.mktemp("served"), data=(home,)) as address:
            yield address


@pytest.fixture
def tab(chromium, address):
    with watched(chromium, address) as page:
        yield page


@pytest.fixture
def made(engine):
    """The address of a picture on the page Edit."""
    return f"/edit?picture={done(engine, Request('a start')).id}/0"


def drag(tab, surface, start, end):
    """With the mouse, from one place to another, in parts of the surface."""
    expect(tab.locator(surface)).to_be_visible()
    box = tab.locator(surface).bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    tab.mouse.move(*places[1], steps=5)
    tab.mouse.up()


def make(tab, engine, words):
    """Press Make, and what the engine was asked for."""
    before = len(engine.submitted)
    tab.get_by_label("What the picture shows").fill(words)
    tab.get_by_role("button", name="Make", exact=True).click()
    expect(tab.get_by_role("button", name="Go on with this one")).to_be_visible()
    ((request, _),) = engine.submitted[before:]
    return request


def test_a_picture_is_opened_from_this_machine_and_again_for_a_fresh_start(tab, home):
    tab.goto("/edit")
    expect(tab.locator(".easel")).to_be_visible()
    for _ in range(2):
        expect(tab.get_by_role("img", name="The picture to be changed")).to_be_hidden()
        with tab.expect_file_chooser() as asked:
            tab.get_by_role("button", name="Open a picture").click()
        asked.value.set_files(home / "photos" / "0.png")
        expect(tab.get_by_role("img", name="The picture to be changed")).to_be_visible()
        tab.get_by_role("button", name="An empty sheet").click()


def test_a_stroke_of_the_mouse_is_the_mask_and_erasing_takes_from_it(tab, engine, made):
    tab.goto(made)
    tab.get_by_role("radio", name="A part of it").check()
    expect(tab.get_by_text("Paint over what is to change.")).to_be_visible()
    drag(tab, ".easel canvas", (0.2, 0.5), (0.8, 0.5))
    expect(tab.get_by_text("of the picture is to change.")).to_be_visible()
    tab.get_by_role("button", name="Erase").click()
    expect(tab.get_by_role("button", name="Erase")).to_have_attribute("aria-pressed", "true")
    drag(tab, ".easel canvas", (0.8, 0.2), (0.8, 0.9))
    mask = make(tab, engine, "a bridge").mask.open().convert("L")
    left, top, right, bottom = mask.getbbox()
    assert mask.size == (64, 64)
    assert (left, top, bottom) == pytest.approx((0.15 * 64, 0.45 * 64, 0.55 * 64), abs=2)  # a brush of a tenth
    assert right == pytest.approx(0.75 * 64, abs=2)
    assert mask.getpixel((32, 32)) == 255
    assert mask.getpixel((52, 32)) == mask.getpixel((32, 10)) == 0


def test_undo_is_seen_on_the_canvas(tab, made):
    tab.goto(made)
    tab.get_by_role("radio", name="A part of it").check()
    expect(tab.get_by_text("Paint over what is to change.")).to_be_visible()
    canvas = "document.querySelector('.easel canvas').toDataURL()"
    nothing = tab.evaluate(canvas)
    drag(tab, ".easel canvas", (0.4, 0.4), (0.6, 0.6))
    assert tab.evaluate(canvas) != nothing
    tab.get_by_role("button", name="Undo").click()
    tab.wait_for_function(f"nothing => {canvas} === nothing", arg=nothing)


def test_boxes_are_drawn_with_the_mouse_and_moved_with_the_arrow_keys(tab, engine):
    tab.goto("/edit")
    drag(tab, ".easel-boxes", (0.1, 0.2), (0.5, 0.6))
    tab.get_by_label("What is to be in box 1").fill("a red cat")
    box = tab.locator(".easel-box")
    expect(box).to_have_attribute("aria-label", "Box 1: a red cat")
    box.focus()
    for _ in range(20):  # faster than they are answered
        tab.keyboard.press("ArrowRight")
    expect(tab.get_by_label("What is to be in box 1, from 30 % to 70 % across")).to_be_visible()
    drag(tab, ".easel-boxes", (0.5, 0.4), (0.6, 0.4))  # of the box itself
    ((words, sides),) = [(region.prompt, region.box) for region in make(tab, engine, "at night").regions]
    assert words == "a red cat"
    assert sides == pytest.approx((0.4, 0.2, 0.8, 0.6), abs=0.01)


def test_all_of_it_is_done_by_keyboard_and_numbers_too(tab, engine, made):
    tab.goto(made)
    tab.get_by_role("radio", name="All of it").focus()
    tab.keyboard.press("ArrowRight")
    expect(tab.get_by_role("radio", name="A part of it")).to_be_checked()
    tab.get_by_role("button", name="A rectangle by numbers").click()
    for corner, value in (("Left", 50), ("Top", 0), ("Right", 100), ("Bottom", 100)):
        tab.get_by_label(f"{corner}, %").fill(str(value))
    tab.get_by_role("button", name="Add the rectangle").click()
    expect(tab.get_by_text("50% of the picture is to change.")).to_be_visible()
    assert make(tab, engine, "half of it").mask.open().convert("L").getbbox() == (32, 0, 64, 64)


def test_what_lies_on_the_table_outlives_a_reload(tab, made):
    tab.goto("/edit")
    drag(tab, ".easel-boxes", (0.1, 0.1), (0.4, 0.4))
    expect(tab.locator(".easel-box")).to_be_visible()
    tab.reload()
    expect(tab.locator(".easel-box")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_edit_is_accessible_and_fits(tab, made, scheme, width):
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 844})
    tab.goto(made)
    for way, shown in (("A part of it", "Brush"), ("Around it", "Above, pixels"), ("Things in places", "below")):
        tab.get_by_role("radio", name=way).check()
        expect(tab.get_by_label(shown)).to_be_visible()
        assert not violations(tab), way
    drag(tab, ".easel-boxes", (0.1, 0.1), (0.4, 0.4))
    expect(tab.locator(".easel-box")).to_be_visible()
    assert not violations(tab)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_train_is_accessible_and_fits(tab, home, scheme, width):
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 844})
    tab.goto("/train?model=mine")
    expect(tab.get_by_role("img", name="Curves of clip")).to_be_visible()
    expect(tab.get_by_role("img", name="What clip could do at step 20")).to_be_visible()
    tab.get_by_role("button", name="Look at it").click()
    expect(tab.get_by_text("1,797 pictures")).to_be_visible()
    assert not violations(tab)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_the_digits_are_trained_from_the_page_and_the_model_makes_pictures(tab, home):
    tab.goto("/train")
    tab.get_by_label("Time, such as 10m or 2h").fill("1m")
    tab.get_by_label("Name of the model").fill("quick")
    tab.get_by_role("button", name="Start").click()
    expect(tab.get_by_text("It is being trained.")).to_be_visible()
    expect(tab.get_by_role("img", name="Curves of autoencoder")).to_be_visible(timeout=600_000)
    tab.get_by_role("button", name="Stop").click()
    expect(tab.get_by_text("It stands still")).to_be_visible()
    tab.get_by_role("button", name="Go on").click()
    expect(tab.get_by_text("It is finished.")).to_be_visible(timeout=1_800_000)
    tab.get_by_role("button", name="Use this model").click()
    expect(tab).to_have_url("/")
    assert (home / "models" / "quick" / "model_index.json").is_file()
