"""X-ray: what the fields ask for is looked into; the page that comes of it is shown, or why there is none."""

import asyncio
import threading

import pytest
from nicegui import ui

from light_studio import done, fill, unfold
from sfumato.errors import PromptError
from sfumato.pipelines.request import Request
from sfumato.server.job import Job
from sfumato.server.studio.looks import Left, Looks

LONG = 100


@pytest.fixture
def looked(monkeypatch):
    """What was asked of the looks, whose page says so."""
    asked = []

    def page(self, wanted, tell):
        assert "long work" in threading.current_thread().name
        if not tell(0, 1):
            raise Left
        if "unknown" in wanted.request.prompt:
            raise PromptError("Of this no trace is made.")
        asked.append(wanted)
        return f"<title>{wanted.request.prompt}</title>"

    monkeypatch.setattr(Looks, "_page", page)
    return asked


def frame(person):
    (made,) = [one for one in person.find(kind=ui.element).elements if one.tag == "iframe"]
    return made


def test_a_prompt_is_looked_into_beside_another_one(stroll, looked):
    async def walk(person):
        await person.open("/xray")
        unfold(person)
        person.find(kind=ui.textarea).type("a red cat")
        for label, value in (
            ("Another prompt beside it", "a dog"),
            ("Seed", "5"),
            ("Seeds beside it", 2),
            ("Steps", 3),
        ):
            fill(person, label, value)
        person.find(kind=ui.button, content="Look inside").click()
        await person.should_see("On a page of its own", retries=LONG)
        (wanted,) = looked
        assert wanted.request == Request("a red cat", 5, 3)
        assert (wanted.against, wanted.seeds, wanted.every_word) == ("a dog", 3, False)
        answer = await person.http_client.get(frame(person).props["src"])
        assert answer.text == "<title>a red cat</title>"
        assert "no-store" in answer.headers["cache-control"]
        assert frame(person).props["sandbox"] == "allow-scripts"

    stroll(walk)


def test_a_picture_of_the_history_is_looked_into_as_it_was_made(stroll, engine, looked):
    job = done(engine, Request("a blue dog", 9, 2, solver="euler"), 2)

    async def walk(person):
        await person.open(f"/xray?picture={job.id}/1")
        await person.should_see("On a page of its own", retries=LONG)
        assert looked[0].request == job.asked(1)
        await person.open("/xray?picture=no/1")
        await person.should_see("There is no such picture any more.", retries=LONG)

    stroll(walk)


def test_what_cannot_be_looked_into_is_told(stroll, looked):
    async def walk(person):
        await person.open("/xray")
        unfold(person)
        person.find(kind=ui.textarea).type("unknown")
        fill(person, "Steps", 101)
        person.find(kind=ui.button, content="Look inside").click()
        await person.should_see("Steps: a whole number from 1 to 100", retries=LONG)
        fill(person, "Steps", None)
        person.find(kind=ui.button, content="Look inside").click()
        await person.should_see("Of this no trace is made.", retries=LONG)
        assert not looked

    stroll(walk)


def test_a_look_that_was_cancelled_neither_goes_on_nor_ends_the_next_one(stroll, monkeypatch):
    begun, go, told = [], [threading.Event(), threading.Event()], []

    def page(self, wanted, tell):
        number = len(begun)
        begun.append(wanted.request.prompt)
        for step in range(2):
            told.append((number, tell(step, 2)))
            if not told[-1][1]:
                raise Left
            go[number].wait(60)
        return f"<title>{wanted.request.prompt}</title>"

    monkeypatch.setattr(Looks, "_page", page)

    async def walk(person):
        try:
            await person.open("/xray")
            person.find(kind=ui.textarea).type("a red cat")
            person.find(kind=ui.textarea).trigger("keydown.enter")
            await until(lambda: begun)
            person.find(kind=ui.button, content="Cancel").click()
            await person.should_see("Ending with this picture.", retries=LONG)
            person.find(kind=ui.textarea).type(" at night").trigger("keydown.enter")
            await person.should_not_see("Ending with this picture.", retries=LONG)
            go[0].set()
            await until(lambda: len(begun) == 2)
            await person.should_see("0 of 2", retries=LONG)  # and not that it was cancelled
            await person.should_not_see("Cancelled.")
        finally:
            for each in go:
                each.set()
        await person.should_see("On a page of its own", retries=LONG)
        assert (await person.http_client.get(frame(person).props["src"])).text == "<title>a red cat at night</title>"

    stroll(walk)
    assert told == [(0, True), (0, False), (1, True), (1, True)]


async def until(happened):
    for _ in range(LONG):
        if happened():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("It did not happen.")


def test_a_picture_of_another_version_says_so(stroll, engine, monkeypatch, looked):
    job = done(engine, Request("a blue dog"))

    def asked(self, picture=0):
        raise PromptError("A later version made this.")

    monkeypatch.setattr(Job, "asked", asked)

    async def walk(person):
        await person.open(f"/xray?picture={job.id}/0")
        await person.should_see("A later version made this.", retries=LONG)

    stroll(walk)
    assert not looked
