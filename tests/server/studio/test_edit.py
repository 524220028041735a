"""Edit: what lies on the table and what is said reach the engine as one request; what is made can be gone on with."""

import io
import json

import pytest
from nicegui import app as pages
from nicegui import ui
from nicegui.app.app import prune_tab_storage
from nicegui.elements.upload_files import SmallFileUpload
from nicegui.testing.user_interaction import UserInteraction
from PIL import Image

from addresses import holds_up_the_loop, opened
from light_studio import done
from sfumato.pipelines.request import Request
from sfumato.server.encoding import address
from sfumato.server.given import MOST_PIXELS
from sfumato.server.studio.edit import KEPT
from sfumato.server.studio.editing.boxes import Box
from sfumato.server.studio.editing.easel import Easel
from sfumato.server.studio.editing.mask import Mask
from sfumato.server.studio.editing.outcome import Outcome

LONG = 100  # tries, a tenth of a second each


def a_button(person, text):
    return person.find(kind=ui.button, content=text)


def those(person, **props):
    """The elements with these properties."""
    found = {
        element
        for element in person.find(kind=ui.element).elements
        if all(element.props.get(name.replace("_", "-")) == value for name, value in props.items())
    }
    return UserInteraction(person, found, None)


def fill(person, label, value):
    with person:
        (made,) = [one for one in those(person, aria_label=label).elements if hasattr(one, "value")]
        made.value = value


def the_easel(person):
    (easel,) = person.find(kind=Easel).elements
    return easel


def choose(person, way):
    those(person, type="radio", value=way).trigger("change")


def drag(person, label, value):
    those(person, type="range", aria_label=label).trigger("input", value)


async def upload(person, picture, name="mine.png"):
    file = io.BytesIO()
    picture.save(file, format="PNG")
    (made,) = person.find(kind=ui.upload).elements
    with person:
        await made.handle_uploads([SmallFileUpload(name, "image/png", file.getvalue())])


async def said(person, words):
    await person.should_see(kind=ui.textarea)
    fill(person, "What the picture shows", words)


def test_an_uploaded_picture_is_changed_as_a_whole(stroll, engine):
    async def walk(person):
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        await upload(person, Image.new("RGB", (128, 64), "green"))
        await person.should_see("All of it", retries=LONG)
        drag(person, "How much changes", 35)
        await said(person, "a meadow")
        a_button(person, "Make").click()
        await person.should_see(kind=Outcome, retries=LONG)
        ((request, count),) = engine.submitted
        assert (request.prompt, request.strength, count) == ("a meadow", 0.35, 1)
        assert request.picture.open().size == (128, 64)
        assert request.mask is None

    stroll(walk)


def test_what_was_painted_is_the_mask(stroll, engine):
    painted = Mask((64, 64))
    painted.rectangle(Box(0, 0, 0.5, 0.25))

    async def walk(person):
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        await upload(person, Image.new("RGB", (64, 64), "blue"))
        await person.should_see("A part of it", retries=LONG)
        choose(person, "part")
        a_button(person, "Make").click()
        await person.should_see("Say in a few words", retries=LONG)
        await said(person, "a cloud")
        a_button(person, "Make").click()
        await person.should_see("Paint over the part", retries=LONG)
        person.find(kind=Easel).trigger("painted", painted.address)
        await person.should_see("12% of the picture is to change.", retries=LONG)
        a_button(person, "A rectangle by numbers").click()
        await person.should_see("Left, %", retries=LONG)
        for corner, value in zip(("Left", "Top", "Right", "Bottom"), (50, 50, 100, 100), strict=True):
            fill(person, f"{corner}, %", value)
        a_button(person, "Add").click()
        await person.should_see("38% of the picture is to change.", retries=LONG)
        a_button(person, "Undo").click()
        await person.should_see("12% of the picture is to change.", retries=LONG)
        a_button(person, "Make").click()
        await person.should_see(kind=Outcome, retries=LONG)
        ((request, _),) = engine.submitted
        assert request.mask.open().convert("L").getbbox() == (0, 0, 32, 16)

    stroll(walk)


def test_sides_grow_by_numbers(stroll, engine):
    async def walk(person):
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        await upload(person, Image.new("RGB", (64, 64), "blue"))
        await person.should_see("Around it", retries=LONG)
        choose(person, "around")
        fill(person, "Right, pixels", 30)
        await person.should_see("It becomes 96 × 64 pixels", retries=LONG)
        assert the_easel(person).props["extend"] == [0, 0, 0.5, 0]
        await said(person, "a wider sea")
        a_button(person, "Make").click()
        await person.should_see(kind=Outcome, retries=LONG)
        assert engine.submitted[0][0].extend == (0, 0, 32, 0)

    stroll(walk)


def test_nobody_waits_while_pictures_are_written_for_the_browser(stroll, monkeypatch):
    held_up = []

    def noted(*asked, **how):
        held_up.append(holds_up_the_loop())
        return address(*asked, **how)

    monkeypatch.setattr("sfumato.server.studio.editing.sheet.address", noted)

    async def walk(person):
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        await upload(person, Image.new("RGB", (64, 64), "blue"))
        await person.should_see("Around it", retries=LONG)
        choose(person, "around")
        fill(person, "Right, pixels", 32)
        await said(person, "a wider sea")
        a_button(person, "Make").click()
        await person.should_see(kind=Outcome, retries=LONG)
        (before,) = those(person, alt="Before").elements
        assert opened(before.props["src"]).size == (96, 64)
        await person.open("/edit")
        await person.should_see("Around it", retries=LONG)
        assert opened(the_easel(person).props["src"]).size == (64, 64)

    stroll(walk)
    assert held_up == [False, False]  # the picture, and what it is extended to


def test_boxes_are_drawn_moved_said_and_removed(stroll, engine):
    async def walk(person):
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        for left in (0.1, 0.5, 0.3):
            drawn = {"left": left, "top": 0.2, "right": left + 0.4, "bottom": 0.6}
            person.find(kind=Easel).trigger("drawn", drawn)
        person.find(kind=Easel).trigger("removed", 2)
        person.find(kind=Easel).trigger(
            "changed", {"number": 1, "box": {"left": 0.6, "top": 0, "right": 1.4, "bottom": 0.6}}
        )
        a_button(person, "Make").click()
        await person.should_see("Box 1 has no words", retries=LONG)
        inputs = {one.props.get("aria-label", ""): one for one in person.find(kind=ui.input).elements}
        asked = [inputs[label] for label in sorted(inputs) if "to be in box" in label]
        for element, words in zip(asked, ("a red cat", "a blue moon"), strict=True):
            with person:
                element.value = words
        await said(person, "at night")
        a_button(person, "Make").click()
        await person.should_see(kind=Outcome, retries=LONG)
        ((request, _),) = engine.submitted
        told = [(region.prompt, region.box) for region in request.regions]
        assert sorted(told) == [("a blue moon", (0.6, 0, 1, 0.6)), ("a red cat", (0.1, 0.2, 0.5, 0.6))]
        assert (request.prompt, request.picture) == ("at night", None)

    stroll(walk)


def test_what_is_painted_in_a_duplicated_tab_stays_there(stroll):
    painted = Mask((64, 64))
    painted.rectangle(Box(0, 0, 0.5, 0.25))

    async def walk(person):
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        await upload(person, Image.new("RGB", (64, 64), "blue"))
        await person.should_see("A part of it", retries=LONG)
        first = pages.storage._tabs[person.tab_id][KEPT]
        await pages.storage._create_tab_storage("twin", person.tab_id)
        person.tab_id = "twin"
        await person.open("/edit")
        await person.should_see("A part of it", retries=LONG)
        choose(person, "part")
        person.find(kind=Easel).trigger("painted", painted.address)
        await person.should_see("12% of the picture is to change.", retries=LONG)
        assert (first.mask.share, first.way) == (0, "all")
        assert pages.storage._tabs["twin"][KEPT].mask.share == 0.125

    stroll(walk)


def test_a_table_that_nobody_came_back_to_is_cleared_after_a_day_and_who_still_has_it_goes_on(stroll):
    async def walk(person):
        assert pages.storage.max_tab_storage_age == 24 * 3600
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        await prune_tab_storage(force=True)
        await upload(person, Image.new("RGB", (64, 64), "blue"))
        await person.should_see("All of it", retries=LONG)

    stroll(walk)


def test_a_picture_of_the_history_is_opened_and_the_result_gone_on_with(stroll, engine):
    job = done(engine, Request("a start"))

    async def walk(person):
        await person.open(f"/edit?picture={job.id}/0")
        await person.should_see("All of it", retries=LONG)
        await said(person, "another")
        a_button(person, "Make").click()
        await person.should_see(kind=Outcome, retries=LONG)
        before = the_easel(person).props["src"]
        a_button(person, "Go on with this one").click()
        await person.should_not_see(kind=Outcome, retries=LONG)
        assert the_easel(person).props["src"] != before

    stroll(walk)


@pytest.mark.parametrize("name", ["", "nobody/0", "../../etc/passwd", "a" * 22 + "/99999999999"])
def test_an_address_that_names_no_picture_lays_an_empty_sheet(stroll, name):
    async def walk(person):
        await person.open(f"/edit?picture={name}")
        await person.should_see(kind=Easel, retries=LONG)
        assert the_easel(person).props["src"] == ""

    stroll(walk)


def test_a_file_that_is_no_picture_is_named(stroll):
    async def walk(person):
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        (made,) = person.find(kind=ui.upload).elements
        with person:
            await made.handle_uploads([SmallFileUpload("song.mp3", "audio/mpeg", b"la la la")])
        await person.should_see("song.mp3 cannot be used", retries=LONG)

    stroll(walk)


def test_a_picture_of_too_many_pixels_is_refused_as_everywhere(stroll):
    async def walk(person):
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        await upload(person, Image.new("1", (8192, 4097)), "wide.png")
        await person.should_see(
            f"wide.png cannot be used: too large: 8192 x 4097 pixels, at most {MOST_PIXELS:,}", retries=LONG
        )

    stroll(walk)


def test_rubbish_from_the_browser_changes_nothing(stroll, engine):
    async def walk(person):
        await person.open("/edit")
        await person.should_see(kind=Easel, retries=LONG)
        for rubbish in (None, 7, "x" * 3_000_000, {"left": "0"}, [], json.loads("1e400")):
            for event in ("painted", "drawn", "changed", "removed", "chosen"):
                person.find(kind=Easel).trigger(event, rubbish)
            person.find(kind=Easel).trigger("changed", {"number": rubbish, "box": rubbish})
            person.find(kind=Easel).trigger("changed", {"number": 0, "box": rubbish})
            assert the_easel(person).props["boxes"] == [], rubbish

    stroll(walk)


def test_a_model_that_knows_words_alone_says_so(stroll, engine, monkeypatch):
    monkeypatch.setattr(engine.models.made.way, "takes", frozenset({"solver"}))

    async def walk(person):
        await person.open("/edit")
        await person.should_see("makes pictures from words alone", retries=LONG)

    stroll(walk)
