"""In a real browser: made, cancelled, picked, found again; by keyboard; accessible; nothing leaves the machine."""

import pytest
from playwright.sync_api import expect

from light_studio import LightEngine, done
from served_studio import served
from sfumato.pipelines.request import Request
from sfumato.server.store import Store
from watched_tab import violations, watched

SETTLED = "() => !document.querySelector('[class*=-enter-active], [class*=-enter-from]')"  # dialogs fade in


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        made = LightEngine(store)
        yield made
        made.end()


@pytest.fixture(scope="module")
def address(engine, tmp_path_factory):
    with served(engine, tmp_path_factory.mktemp("served")) as address:
        yield address


@pytest.fixture
def tab(chromium, address):
    with watched(chromium, address, reduced_motion="reduce") as page:
        yield page


def opened(tab, path="/"):
    tab.goto(path)
    expect(tab.get_by_label("What the picture shows")).to_be_visible()
    expect(tab.get_by_label("Steps")).to_have_attribute("placeholder", "4")  # the model is there
    return tab.get_by_label("What the picture shows")


def test_a_picture_emerges_by_keyboard_alone_and_escape_cancels(tab, engine):
    words = opened(tab)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the page"
    words.fill("a red cat")
    engine.gate.clear()
    words.press("Enter")
    expect(tab.get_by_role("button", name="Cancel")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("status").filter(has_text="Cancelled.")).to_be_visible()
    engine.gate.set()
    words.press("Control+Enter")
    expect(tab.get_by_text("Finished.")).to_be_visible()
    picture = tab.get_by_role("button", name="Open: a red cat").get_by_role("img").element_handle()
    tab.wait_for_function("image => image.complete && image.naturalWidth === 64", arg=picture)
    assert words.input_value() == "a red cat"


def test_arrows_go_through_the_history_and_enter_opens_a_picture(tab, engine):
    for seed in range(3):
        done(engine, Request("a walk", seed=seed))
    opened(tab)
    thumbs = tab.locator(".thumb")
    thumbs.first.focus()
    tab.keyboard.press("ArrowRight")
    expect(thumbs.nth(1)).to_be_focused()
    tab.keyboard.press("End")
    expect(thumbs.last).to_be_focused()
    tab.keyboard.press("Home")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="a walk")).to_be_visible()
    tab.wait_for_function(SETTLED)
    assert not violations(tab, ".q-dialog", without=["color-contrast"])  # it takes the backdrop for the background
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("heading", name="a walk")).to_be_hidden()


def test_what_was_typed_outlives_a_reload(tab):
    opened(tab).fill("half a thought")
    tab.get_by_role("button", name="More", exact=True).click()
    tab.get_by_label("Seed").fill("12")
    tab.reload()
    words = opened(tab)
    expect(words).to_have_value("half a thought")
    expect(tab.get_by_label("Seed")).to_have_value("12")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("path", ["/", "/xray"])
def test_pages_are_accessible_and_fit(tab, path, scheme, width):
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 844})
    opened(tab, path) if path == "/" else tab.goto(path)
    expect(tab.get_by_label("What the picture shows")).to_be_visible()
    tab.get_by_role("button", name="More", exact=True).click()
    expect(tab.get_by_label("Steps")).to_be_visible()
    assert not violations(tab)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(251, 250, 248)"
    assert dark == (scheme == "dark")


def test_the_switch_goes_before_the_system_and_is_remembered(tab):
    opened(tab)
    tab.get_by_role("button", name="Colours: system").click()
    tab.get_by_role("button", name="Colours: light").click()
    expect(tab.get_by_role("button", name="Colours: dark")).to_be_visible()
    opened(tab)
    expect(tab.get_by_role("button", name="Colours: dark")).to_be_visible()
    expect(tab.locator("body")).to_have_css("background-color", "rgb(21, 20, 18)")
