"""A picture of the history is made larger, shown, and can be downloaded with its recipe."""

import io
import json

from nicegui import ui
from PIL import Image

from light_studio import done
from sfumato.pipelines.keepsake import KEY
from sfumato.pipelines.request import Request

LONG = 100


def test_a_picture_is_made_larger_and_what_adds_no_detail_says_so(stroll, engine, monkeypatch):
    asked = []

    def upscaled(pipeline, wanted):
        asked.append(wanted)
        large = wanted.picture.open().resize((256, 128))
        return large, {"model": "light", "upscaled": {"by": "lanczos"}}

    monkeypatch.setattr("sfumato.pipelines.upscaling.upscaled", upscaled)
    done(engine, Request("a cat", 3, width=64, height=32))

    async def walk(person):
        await person.open("/")
        await person.should_see(marker="thumb", retries=LONG)
        person.find(marker="thumb").click()
        await person.should_see("The whole recipe")
        person.find(kind=ui.button, content="Upscale").click()
        await person.should_see("256 x 128 pixels, by lanczos, which adds no detail", retries=LONG)
        (link,) = [one for one in person.find(kind=ui.link).elements if one.text == "Download the larger one"]
        answer = await person.http_client.get(link.props["href"])
        picture = Image.open(io.BytesIO(answer.content))
        assert picture.size == (256, 128)
        assert json.loads(picture.info[KEY])["upscaled"] == {"by": "lanczos"}

    stroll(walk)
    (wanted,) = asked
    assert (wanted.factor, wanted.prompt, wanted.seed) == (4, "a cat", 3)
