"""A picture of the history is made larger, shown, and can be downloaded with its recipe."""

import asyncio
import io
import json
import threading

import pytest
from nicegui import ui
from PIL import Image

from light_studio import done
from sfumato.pipelines.keepsake import KEY
from sfumato.pipelines.request import Request
from sfumato.server.limits import Limits
from sfumato.server.studio.showing import Showing
from sfumato.server.studio.studio import Studio

LONG = 100


@pytest.fixture
def asked(monkeypatch):
    """What was asked for, in the order in which it was made."""
    made = []

    def upscaled(pipeline, wanted):
        assert "long work" in threading.current_thread().name
        made.append(wanted)
        large = wanted.picture.open()
        large = large.resize([round(side * wanted.factor) for side in large.size])
        return large, {"model": "light", "upscaled": {"by": "lanczos"}}

    monkeypatch.setattr("sfumato.pipelines.upscaling.upscaled", upscaled)
    return made


async def upscale(person):
    await person.open("/")
    await person.should_see(marker="thumb", retries=LONG)
    person.find(marker="thumb").click()
    await person.should_see("The whole recipe")
    person.find(kind=ui.button, content="Upscale").click()


def test_a_picture_is_made_larger_and_what_adds_no_detail_says_so(stroll, engine, asked):
    done(engine, Request("a cat", 3, width=64, height=32))

    async def walk(person):
        await upscale(person)
        await person.should_see("256 x 128 pixels, by lanczos, which adds no detail", retries=LONG)
        (link,) = [one for one in person.find(kind=ui.link).elements if one.text == "Download the larger one"]
        answer = await person.http_client.get(link.props["href"])
        picture = Image.open(io.BytesIO(answer.content))
        assert picture.size == (256, 128)
        assert json.loads(picture.info[KEY])["upscaled"] == {"by": "lanczos"}

    stroll(walk)
    (wanted,) = asked
    assert (wanted.factor, wanted.prompt, wanted.seed) == (4, "a cat", 3)


def test_it_becomes_no_larger_than_pictures_are_here(stroll, engine, asked):
    done(engine, Request("a cat", 3, width=64, height=32))

    async def walk(person):
        engine.limits = Limits(pixels=128 * 64)
        await upscale(person)
        await person.should_see("128 x 64 pixels", retries=LONG)
        engine.limits = Limits(pixels=64 * 32)
        await upscale(person)
        await person.should_see("64 x 32 pixels are as many as are made here.", retries=LONG)

    stroll(walk)
    assert [wanted.factor for wanted in asked] == [2]


def test_what_nobody_waits_for_any_more_is_not_made_larger(stroll, engine, asked, monkeypatch):
    done(engine, Request("a cat", 3, width=64, height=32))
    go, over = threading.Event(), threading.Event()
    in_turn = Studio.in_turn

    def after_another(studio, work):
        def later():
            go.wait(60)
            try:
                return work()
            finally:
                over.set()

        return in_turn(studio, later)

    monkeypatch.setattr(Studio, "in_turn", after_another)

    async def walk(person):
        await upscale(person)
        await person.should_see("Making it larger", retries=LONG)
        with person:
            (dialog,) = person.find(kind=Showing).elements
            dialog._card.clear()
        go.set()
        await asyncio.to_thread(over.wait, 60)

    stroll(walk)
    assert not asked
