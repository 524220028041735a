"""Where there are keys, nothing is shown without one, and nobody sees what belongs to another."""

import httpx
from nicegui import ui

from light_studio import done
from sfumato.pipelines.request import Request
from sfumato.server.keys import Keys
from sfumato.server.studio.attach import _secret
from sfumato.server.studio.studio import Studio

LONG = 100
KEYS = {"a-key": "ada", "another": "ben"}


def make(engine, owner):
    return done(engine, Request("a secret cat"), owner=owner)


def test_without_a_key_there_is_only_the_door(stroll, engine):
    job = make(engine, "ada")

    async def walk(person):
        client: httpx.AsyncClient = person.http_client
        for path in ("/", "/xray", "/edit", "/train", f"/_studio/pictures/{job.id}/0", "/_studio/tray/x"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/enter"), path
        await person.open("/")
        await person.should_see("This studio asks for a key")

    stroll(walk, keys=KEYS)


def test_when_the_last_key_is_revoked_the_door_stays_shut_and_nobody_trains(stroll, engine, tmp_path):
    async def walk(person):
        assert (await person.http_client.get("/")).headers["location"] == "/enter"

    stroll(walk, keys={})
    keys = Keys(tmp_path / "keys.json")
    studio = Studio(engine, tmp_path, keys)
    assert studio.trains
    keys.new("ada")
    keys.revoke("ada")
    assert not studio.trains


def test_a_wrong_key_is_told_and_a_right_one_opens(stroll, engine, monkeypatch):
    monkeypatch.setattr("sfumato.server.studio.entrance.PAUSE", 0)
    ours, theirs = make(engine, "ada"), make(engine, "ben")

    async def walk(person):
        await person.open("/enter")
        key = person.find(kind=ui.input)
        key.type("no-key")
        person.find(kind=ui.button, content="Enter").click()
        await person.should_see("This is no key of this server", retries=LONG)
        key.clear().type("a-key")
        person.find(kind=ui.button, content="Enter").click()
        await person.should_see("Made so far", retries=LONG)
        client = person.http_client
        assert (await client.get(f"/_studio/pictures/{ours.id}/0")).status_code == 200
        assert (await client.get(f"/_studio/pictures/{theirs.id}/0")).status_code == 404

    stroll(walk, keys=KEYS)


def test_cookies_are_signed_with_a_secret_also_where_a_full_disk_left_an_empty_one(tmp_path):
    (tmp_path / "secret").touch(mode=0o600)
    secret = _secret(tmp_path)
    assert len(secret) >= 32
    assert _secret(tmp_path) == secret
    (tmp_path / "secret").unlink()
    assert _secret(tmp_path) not in ("", secret)
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0
