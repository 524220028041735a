"""Create: what a person types becomes a request, what is made is shown and kept, what is wrong is told in words."""

import asyncio
import threading

from nicegui import ui

from light_studio import done, fill, unfold
from sfumato.errors import PromptError, QueueFull
from sfumato.pipelines.request import Request
from sfumato.server.job import Job
from sfumato.server.studio.advice import PAUSE
from sfumato.server.studio.form import OWN, Form
from sfumato.server.studio.rounds import emerging
from sfumato.server.studio.tile import Tile

LONG = 100  # tries, a tenth of a second each


def a_button(person, text):
    return person.find(kind=ui.button, content=text)


async def ask(person, text):
    await person.should_see(kind=ui.textarea)
    person.find(kind=ui.textarea).type(text)
    a_button(person, "Make").click()


async def thumbs(person, count):
    for _ in range(LONG):
        with person:
            shown = [e for e in person.find(kind=ui.element).elements if "thumb" in e.classes]
        if len(shown) == count:
            return sorted(shown, key=lambda one: one.id)
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(shown)} pictures, not {count}")


def test_words_and_a_press_make_a_picture_that_is_kept(stroll, engine):
    async def walk(person):
        await person.open("/")
        await ask(person, "a red cat")
        await person.should_see("Finished.", retries=LONG)
        (job,) = engine.store.jobs()
        assert (job.owner, job.state, job.request["prompt"]) == ("local", "done", "a red cat")
        assert engine.store.kept(job.id) == [0]
        await person.should_see(kind=Tile)
        address = next(tile.picture.url for tile in person.find(kind=Tile).elements if tile.picture)
        picture = await person.http_client.get(address)
        assert picture.headers["content-type"] == "image/png"
        assert "immutable" in picture.headers["cache-control"]

    stroll(walk)


def test_enter_makes_as_the_button_does(stroll, engine):
    async def walk(person):
        await person.open("/")
        person.find(kind=ui.textarea).type("a red cat").trigger("keydown.enter")
        await person.should_see("Finished.", retries=LONG)
        assert len(engine.submitted) == 1

    stroll(walk)


def test_what_is_asked_for_twice_before_it_is_heard_is_made_once(stroll, engine, monkeypatch):
    asked, go, requests = threading.Event(), threading.Event(), engine.models.made.requests

    def slowly(*words, **settings):
        if words[0] == "a red cat":
            asked.set()
            go.wait(60)
        return requests(*words, **settings)

    monkeypatch.setattr(engine.models.made, "requests", slowly, raising=False)

    async def walk(person):
        await person.open("/")
        person.find(kind=ui.textarea).type("a red cat").trigger("keydown.enter")
        try:
            await asyncio.to_thread(asked.wait, 60)
            person.find(kind=ui.textarea).trigger("keydown.enter")
            await asyncio.sleep(0.1)
        finally:
            go.set()
        await person.should_see("Finished.", retries=LONG)
        assert len(engine.submitted) == 1

    stroll(walk)


def test_where_everything_is_private_so_is_what_is_made_here(stroll, engine):
    async def walk(person):
        await person.open("/")
        await ask(person, "a secret cat")
        await person.should_see("Finished.", retries=LONG)
        (job,) = engine.store.jobs()
        assert job.private
        assert "secret" not in str(job.request)

    stroll(walk, private=True)


def test_the_fields_become_settings_of_the_request(stroll, engine):
    async def walk(person):
        await person.open("/")
        unfold(person)
        for label, value in {
            "Pictures": 3, "Seed": "18446744073", "Steps": 2, "Guidance": 2.5, "Width": 96, "Height": 64,
            "Solver": "euler", "Not to be seen": "dogs",
        }.items():  # fmt: skip
            fill(person, label, value)
        await ask(person, "a red cat")
        await person.should_see("3 pictures finished.", retries=LONG)
        ((request, count),) = engine.submitted
        assert count == 3
        assert request == Request(
            "a red cat", 18446744073, 2, 2.5, solver="euler", width=96, height=64, negative_prompt="dogs"
        )

    stroll(walk)


def test_what_is_wrong_is_told_beside_the_words(stroll, engine):
    async def walk(person):
        await person.open("/")
        unfold(person)
        a_button(person, "Make").click()
        await person.should_see("Say in a few words", retries=LONG)
        fill(person, "Width", 70)
        await ask(person, "a red cat")
        await person.should_see("width 70 is not a multiple of 32 pixels", retries=LONG)
        fill(person, "Width", None)
        for label, wrong, told in (
            ("Seed", "seven", "Seed: a whole number"),
            ("Steps", 2.5, "Steps: a whole number"),
            ("Pictures", 99, "Pictures: from 1 to 16"),
        ):
            fill(person, label, wrong)
            a_button(person, "Make").click()
            await person.should_see(told, retries=LONG)
            fill(person, label, None)
        assert not engine.submitted

    stroll(walk)


def test_a_picture_can_be_cancelled_while_it_emerges(stroll, engine):
    engine.gate.clear()

    async def walk(person):
        await person.open("/")
        await ask(person, "a red cat")
        await person.should_see("Cancel", retries=LONG)
        a_button(person, "Cancel").click()
        await person.should_see("Cancelled.", retries=LONG)
        (job,) = engine.store.jobs()
        assert job.state == "cancelled"

    stroll(walk)


def test_of_pictures_that_are_made_together_one_share_is_told():
    told = [emerging(shares) for shares in ([0.0, 0.0], [0.5, 0.0], [0.6, 0.1], [1.0, 0.1], [1.0, 0.6], [1.0, 1.0])]
    assert told == ["Emerging from noise", *(f"Emerging, {share} %" for share in (25, 25, 50, 75, 100))]


def test_a_failure_is_told_in_the_words_of_the_job(stroll):
    async def walk(person):
        await person.open("/")
        await ask(person, "a cat that will fail")
        await person.should_see("The model gave up on this one.", retries=LONG)

    stroll(walk)


def test_what_is_being_made_is_there_again_after_a_reload(stroll, engine):
    engine.gate.clear()

    async def walk(person):
        await person.open("/")
        await ask(person, "a red cat")
        await person.should_see("Cancel", retries=LONG)
        await person.open("/")
        await person.should_see("Cancel", retries=LONG)
        engine.gate.set()
        await person.should_see("Finished.", retries=LONG)
        assert len(engine.submitted) == 1

    stroll(walk)


def test_the_better_ones_are_picked_and_refined(stroll, engine):
    async def walk(person):
        await person.open("/")
        unfold(person)
        fill(person, "Pictures", 3)
        await ask(person, "a red cat")
        await person.should_see("3 pictures finished.", retries=LONG)
        boxes = sorted(person.find(kind=ui.checkbox).elements, key=lambda box: box.id)
        for box in boxes[:2]:
            box.value = True
        await person.should_see("Refine the 2 picked")
        (first, _), *_ = engine.submitted
        a_button(person, "Refine the 2 picked").click()
        await person.should_see("4 pictures finished.", retries=LONG)
        near = [request for request, _ in engine.submitted[1:]]
        assert len(near) == 4
        assert {request.prompt for request in near} == {"a red cat"}
        assert len(set(near)) == 4
        assert {request.seed for request in near} <= {first.seed + i for i in range(3)}
        assert all(request.variation for request in near)

    stroll(walk)


def test_of_a_refinement_is_shown_what_was_taken_before_the_queue_was_full(stroll, engine, monkeypatch):
    submit = engine.submit

    def until_full(*asked):
        if len(engine.submitted) == 3:
            raise QueueFull("Come again in 7 s.", 7)
        return submit(*asked)

    async def walk(person):
        await person.open("/")
        await ask(person, "a red cat")
        await person.should_see("Finished.", retries=LONG)
        monkeypatch.setattr(engine, "submit", until_full)
        a_button(person, "More like this").click()
        await person.should_see("2 of 4 are being made. Come again in 7 s.", retries=LONG)
        await person.should_see("2 pictures finished.", retries=LONG)

    stroll(walk)


def test_settings_of_another_version_are_told_and_all_else_is_there(stroll, engine, monkeypatch):
    job = done(engine, Request("a red cat"))

    def asked(self, picture=0):
        raise PromptError("A later version made this.")

    monkeypatch.setattr(Job, "asked", asked)

    async def walk(person):
        await person.open(f"/?settings={job.id}/0")
        await person.should_see("A later version made this.", retries=LONG)
        (thumb,) = await thumbs(person, 1)
        unfold(person)
        await learned(person)
        person.find(kind=ui.textarea).type("a")
        await person.should_not_see("A later version made this.", retries=LONG)
        with person:
            for listener in thumb._event_listeners.values():
                listener.handler(None)
        await person.should_see("The whole recipe")
        a_button(person, "Same settings").click()
        await person.should_see("A later version made this.", retries=LONG)

    stroll(walk)


async def learned(person):
    """Until the form knows what the model does by itself."""
    for _ in range(LONG):
        (steps,) = [one for one in person.find(kind=ui.number).elements if one.props["aria-label"] == "Steps"]
        if steps.props["placeholder"]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("The form never learned of the model.")


def test_everything_made_is_found_again_by_its_words_and_can_be_deleted(stroll, engine):
    for prompt in ("a red cat", "a blue dog"):
        done(engine, Request(prompt), 2)

    async def walk(person):
        await person.open("/")
        await thumbs(person, 4)
        fill(person, "Search the words of everything made so far", "dog")
        first, _ = await thumbs(person, 2)
        with person:
            for listener in first._event_listeners.values():
                listener.handler(None)
        await person.should_see("a blue dog")
        await person.should_see("The whole recipe")
        a_button(person, "Delete all 2 of this round").click()
        a_button(person, "Yes, delete").click()
        await person.should_see("Nothing with these words.", retries=LONG)
        assert [job.request["prompt"] for job in engine.store.jobs()] == ["a red cat"]

    stroll(walk)


def test_older_ones_come_when_they_are_asked_for(stroll, engine, monkeypatch):
    monkeypatch.setattr("sfumato.server.studio.history.PAGE", 2)
    for seed in range(3):
        done(engine, Request("a cat", seed=seed))

    async def walk(person):
        await person.open("/")
        await thumbs(person, 2)
        a_button(person, "Older ones").click()
        await thumbs(person, 3)
        await person.should_not_see("Older ones")

    stroll(walk)


def test_what_is_asked_of_the_history_twice_or_too_late_is_shown_once(stroll, engine, monkeypatch):
    monkeypatch.setattr("sfumato.server.studio.history.PAGE", 2)
    for seed in range(5):
        done(engine, Request("a cat", seed=seed))
    done(engine, Request("a dog"))
    jobs, go = engine.store.jobs, threading.Event()
    asked = []

    def slowly(**query):
        found = jobs(**query)
        if query["before"] or query["search"] == "a":
            asked.append(query)
            go.wait(60)
        return found

    monkeypatch.setattr(engine.store, "jobs", slowly)

    async def until(count):
        while len(asked) < count:
            await asyncio.sleep(0.01)

    async def walk(person):
        try:
            await person.open("/")
            await thumbs(person, 2)
            a_button(person, "Older ones").click()
            a_button(person, "Older ones").click()
            await until(2)
            go.set()
            shown = await thumbs(person, 4)
            assert len({next(iter(thumb)).props["src"] for thumb in shown}) == 4
            go.clear()
            fill(person, "Search the words of everything made so far", "a")
            await until(3)
            fill(person, "Search the words of everything made so far", "dog")
            await thumbs(person, 1)
            go.set()
            await asyncio.sleep(0.1)
            await thumbs(person, 1)
        finally:
            go.set()

    stroll(walk)


def test_words_that_the_model_never_saw_are_named(stroll, engine, monkeypatch):
    monkeypatch.setattr("sfumato.pipelines.unheard.unheard", lambda model, prompt, reading: iter(["Never: qilin."]))

    async def walk(person):
        await person.open("/")
        person.find(kind=ui.textarea).type("a qilin")
        await person.should_see("Never: qilin.", retries=LONG)

    stroll(walk)


def test_the_language_model_offers_ways_on_that_can_be_taken(stroll, engine, monkeypatch):
    from sfumato.pipelines.language.prompting import Expansion

    engine.models.has_writer = True
    monkeypatch.setattr("sfumato.pipelines.language.hearing.Hearing.of", classmethod(lambda kind, model: kind()))
    monkeypatch.setattr(
        "sfumato.pipelines.language.prompting.expand",
        lambda writer, prompt, seed, hearing: Expansion(prompt, f" beside {seed} boxes"),
    )

    async def walk(person):
        await person.open("/")
        person.find(kind=ui.textarea).type("a cat")
        await person.should_see("… beside 2 boxes", retries=LONG)
        a_button(person, "… beside 2 boxes").click()
        (field,) = person.find(kind=ui.textarea).elements
        assert field.value == "a cat beside 2 boxes"

    stroll(walk)


def test_the_language_model_lets_be_what_was_typed_before(stroll, engine, monkeypatch):
    from sfumato.pipelines.language.prompting import Expansion

    asked, go = [], threading.Event()

    def expand(writer, prompt, seed, hearing):
        asked.append((prompt, seed))
        go.wait(60)
        return Expansion(prompt, f" beside {seed} boxes")

    engine.models.has_writer = True
    monkeypatch.setattr("sfumato.pipelines.language.hearing.Hearing.of", classmethod(lambda kind, model: kind()))
    monkeypatch.setattr("sfumato.pipelines.language.prompting.expand", expand)

    async def walk(person):
        try:
            await person.open("/")
            person.find(kind=ui.textarea).type("a cat")
            while not asked:
                await asyncio.sleep(0.1)
            for _ in range(2):
                person.find(kind=ui.textarea).type("!")
                await asyncio.sleep(2 * PAUSE)
            assert asked == [("a cat", 0)]  # the next waits until nobody is served
        finally:
            go.set()
        await person.should_see("… beside 2 boxes", retries=LONG)

    stroll(walk)
    assert asked == [("a cat", 0), *(("a cat!!", seed) for seed in range(3))]


def test_what_was_typed_comes_back_and_nonsense_does_not(stroll):
    async def walk(person):
        await person.open("/")
        for _ in range(LONG):
            (field,) = person.find(kind=ui.textarea).elements
            if field.value:
                break
            await asyncio.sleep(0.1)
        assert field.value == "a half-typed"
        (solver,) = [one for one in person.find(kind=ui.select).elements if one.props["aria-label"] == "Solver"]
        assert solver.value == OWN

    stroll(walk, kept={"prompt": "a half-typed", "solver": "no such", "steps": "many"})


def test_what_is_being_typed_stays_when_the_draft_comes(stroll):
    async def walk(person):
        @ui.page("/form")
        def form():
            made = Form(lambda: None, lambda: None)
            made.prompt.value, made.steps.value = "being typed", 7
            made.restore({"prompt": "a draft", "steps": 3, "guidance": 2.5, "solver": "ddim"})
            told.append((made.words, made.steps.value, made.guidance.value, made.solver.value))

        told = []
        await person.open("/form")
        assert told == [("being typed", 7, 2.5, "ddim")]

    stroll(walk)
