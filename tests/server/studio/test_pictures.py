"""Pictures are served to their owner alone, small where they are large, and names from outside may be anything."""

import io

import pytest
from PIL import Image

from light_studio import LightKeys, done
from sfumato.pipelines.request import Request
from sfumato.server.studio.pictures import SMALL, named
from sfumato.server.studio.studio import Studio

NAMES = ["", "/", "x/0", "{id}", "{id}/", "{id}/1", "{id}/-1", "{id}/²", "{id}/" + "9" * 50, "../{id}/0"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_leads_nowhere(engine, tmp_path, name):
    job = done(engine, Request("a cat"))
    studio = Studio(engine, tmp_path, LightKeys(None))
    assert named(studio, "local", f"{job.id}/0").prompt == "a cat"
    assert named(studio, "local", name.format(id=job.id)) is None
    assert named(studio, "somebody", f"{job.id}/0") is None


def test_a_large_picture_is_small_in_the_history(stroll, engine):
    job = done(engine, Request("a cat", width=1024, height=512))

    async def walk(person):
        await person.open("/")
        answer = await person.http_client.get(f"/_studio/pictures/{job.id}/0/small")
        picture = Image.open(io.BytesIO(answer.content))
        assert (picture.size, picture.format) == ((SMALL, SMALL // 2), "WEBP")
        assert (await person.http_client.get("/_studio/pictures/x/0")).status_code == 404

    stroll(walk)
