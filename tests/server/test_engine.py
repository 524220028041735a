"""The engine makes what it accepted, fairly, once, and as it would be made alone."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from instant import Instant, Shelf
from sfumato.errors import (
    CheckpointError,
    DataError,
    JobNotFound,
    ModelNotFound,
    PromptError,
    QueueFull,
    RecipeError,
    StoreFull,
)
from sfumato.pipelines.keepsake import read_recipe
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.server.batching.sharing import Sharing
from sfumato.server.engine import Engine
from sfumato.server.following import Follower
from sfumato.server.job import Event
from sfumato.server.limits import Limits
from sfumato.server.models import Models
from sfumato.server.ongoing import Ongoing, Picture, seconds_until_room
from sfumato.server.preview import Preview
from sfumato.server.saying import said
from sfumato.server.speed import Speed
from sfumato.server.store import Store

ME, OTHER = "me", "other"


def request(prompt="a cat", seed=0, steps=3, **settings):
    return Request(prompt, seed, steps, upsampler_steps=0, **settings)


class House:
    """An engine over the doubles."""

    def __init__(self, shelf=None, limits=Limits(), **sharing):
        self.pipeline, self.shelf = Instant(), shelf or Shelf()
        self.network = self.pipeline.network
        models = Models({"instant": "nowhere"}, "cpu", load=lambda _: self.pipeline)
        self.engine = Engine(models, self.shelf, limits, Sharing(**{"rows": 4, "seats": 4, "threads": 1} | sharing))

    def submit(self, owner=ME, count=1, **asked):
        return self.engine.submit(owner, "instant", request(**asked), count)

    def finished(self, *jobs):
        return [within(lambda job=job: self._finished(job)) for job in jobs]

    def _finished(self, job):
        found = self.shelf.job(job.id)
        return found if found.is_finished else None


def within(found, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (value := found()) not in (None, False):
            return value
        time.sleep(0.002)
    raise AssertionError("it took too long")


@pytest.fixture
def house():
    """Begun, with the settings that a test names; stopped in the end."""
    begun = []

    def begin(**settings):
        begun.append(House(**settings))
        begun[-1].engine.start()
        return begun[-1]

    yield begin
    for each in begun:
        each.network.open.set()
        each.engine.stop()


def followed(engine, id, seen=None, slowly=0.0):
    async def run():
        async for event in engine.follow(id):
            (events if seen is None else seen).append(event)
            await asyncio.sleep(slowly)
        return events

    events = []
    return asyncio.run(asyncio.wait_for(run(), 60))


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_a_job_is_made_told_and_kept(house):
    here = house()
    here.network.open.clear()
    job = here.submit(count=2, seed=800)
    assert job.state == "queued"
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(followed, here.engine, job.id)
        within(lambda: here.engine._followers.of(job.id))
        here.network.open.set()
        events = telling.result(60)
    assert events[-1] == Event(job.id, "done")
    assert {event.picture for event in events if event.kind == "picture"} == {0, 1}
    assert here.shelf.job(job.id).state == "done"
    for number, seed in enumerate((800, 801)):
        image, recipe = here.shelf.pictures[job.id, number]
        assert recipe["request"]["seed"] == seed
        assert image.getpixel((0, 0))[0] == round((seed / 8 / 1000 + 1) * 127.5)


def test_jobs_of_different_lengths_share_passes_and_each_gets_its_own(house):
    here = house(seats=6, rows=16)
    here.network.open.clear()
    jobs = [here.submit(owner=str(steps), seed=900 + steps, steps=steps) for steps in (1, 2, 3, 4, 5, 6)]
    within(lambda: here.engine.busy().running == 6)
    here.network.open.set()
    assert {job.state for job in here.finished(*jobs)} == {"done"}
    for job, steps in zip(jobs, (1, 2, 3, 4, 5, 6), strict=True):
        image, _ = here.shelf.pictures[job.id, 0]
        assert image.getpixel((0, 0))[0] == round(((900 + steps) / 2**steps / 1000 + 1) * 127.5)
    busy = here.engine.busy()
    assert busy.calls == 21
    assert busy.passes < 21
    assert (busy.jobs, busy.queued, busy.running) == (0, 0, 0)


def test_owners_take_turns_however_much_one_of_them_asks_for(house):
    here = house(seats=1)
    here.network.open.clear()
    many = [here.submit(count=3) for _ in range(2)]
    within(here.network.begun.is_set)
    one = here.submit(owner=OTHER)
    assert [here.engine.position(job.id) for job in (*many, one)] == [1, 3, 0]
    here.network.open.set()
    here.finished(*many, one)
    assert here.shelf.order.index((one.id, 0)) == 1


def test_the_place_in_the_queue_is_told_while_it_changes(house):
    here = house(seats=1)
    here.network.open.clear()
    first, second, third = (here.submit() for _ in range(3))
    within(here.network.begun.is_set)
    seen = []
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(followed, here.engine, third.id, seen)
        within(lambda: [event.position for event in seen] == [1])
        here.engine.cancel(second.id)
        within(lambda: [event.position for event in seen] == [1, 0])
        here.network.open.set()
        telling.result(60)
    here.finished(first, third)
    assert seen[-1].kind == "done"


def test_a_job_is_cancelled_while_it_waits_and_while_it_is_made(house):
    here = house(seats=1)
    here.network.open.clear()
    made, waiting = here.submit(steps=100, count=3), here.submit()
    within(here.network.begun.is_set)
    assert here.engine.cancel(waiting.id).state == "cancelled"
    assert here.engine.cancel(made.id).state == "cancelled"
    here.network.open.set()
    last = here.submit()
    assert here.finished(last)[0].state == "done"
    assert here.engine.cancel(last.id).state == "done"
    assert set(here.shelf.pictures) == {(last.id, 0)}
    assert len(here.network.passes) <= 4
    assert followed(here.engine, made.id) == [Event(made.id, "cancelled")]


def test_what_fails_fails_alone_and_says_so_without_the_folders_of_the_machine(house):
    here = house(rows=16)
    here.network.open.clear()
    good, bad, other = here.submit(), here.submit(prompt="broken", count=2), here.submit(owner=OTHER)
    here.network.open.set()
    assert [job.state for job in here.finished(good, bad, other)] == ["done", "failed", "done"]
    error = here.shelf.job(bad.id).error
    assert "ValueError" in error
    assert "somebody" not in error
    assert said(CheckpointError("/home/somebody/models/a b.json is missing, sigma / alpha")) == (
        "a b.json is missing, sigma / alpha"
    )


@pytest.mark.parametrize("error", [PromptError, DataError])
def test_what_a_private_job_failed_of_is_told_without_its_words(house, monkeypatch, tmp_path, error):
    def quoting(self, batch):
        raise error(f"The prompt {batch.prompts[0]!r} names none of the classes.")

    monkeypatch.setattr(Instant, "paintings", quoting)
    with Store(tmp_path) as store:
        here = house(shelf=store)
        for private in (False, True):
            job = here.engine.submit(ME, "instant", request("a hidden cat"), private=private)
            (ended,) = here.finished(job)
            assert ended.state == "failed"
            assert ("hidden" in ended.error) is not private
        here.engine.stop()


def test_a_job_whose_failure_cannot_be_written_is_let_go_and_can_be_cancelled(house, monkeypatch):
    here = house()
    mark = here.shelf.mark

    def full(id, state, error=""):
        if state == "failed":
            raise StoreFull("The disk is full.")
        return mark(id, state, error)

    monkeypatch.setattr(here.shelf, "mark", full)
    here.network.open.clear()
    job = here.submit(prompt="broken")
    within(here.network.begun.is_set)
    here.network.open.set()
    within(lambda: here.engine.busy().jobs == 0)
    assert followed(here.engine, job.id) == [Event(job.id, "running")]
    assert here.engine.cancel(job.id).state == here.shelf.job(job.id).state == "cancelled"


def test_a_job_that_takes_too_long_is_given_up(house):
    here = house(limits=Limits(seconds=0.05))
    here.network.open.clear()
    job = here.submit(steps=100)
    within(here.network.begun.is_set)
    time.sleep(0.1)
    here.network.open.set()
    [found] = here.finished(job)
    assert found.state == "failed"
    assert "0.05 seconds" in found.error


def test_what_is_not_finished_goes_on_with_the_next_engine_and_nothing_is_made_twice(house):
    first = house(seats=1)
    done = first.submit()
    first.finished(done)
    first.network.open.clear()
    first.network.begun.clear()
    jobs = [first.submit(steps=50, count=2), first.submit()]
    within(first.network.begun.is_set)
    first.shelf.pictures[jobs[0].id, 1] = "kept by the last engine, before its mark was"
    stopping = threading.Thread(target=first.engine.stop, args=(0.01,))
    stopping.start()
    time.sleep(0.05)
    first.network.open.set()
    stopping.join(60)
    assert [job.state for job in map(first.shelf.job, (done.id, *(job.id for job in jobs)))] == [
        "done",
        "queued",
        "queued",
    ]
    with pytest.raises(QueueFull, match="being stopped"):
        first.submit()
    second = house(shelf=first.shelf)
    assert {job.state for job in second.finished(*jobs)} == {"done"}
    assert len(first.shelf.order) == 3


def test_stopping_finishes_what_is_under_way_where_there_is_time(house):
    here = house(seats=1)
    here.network.open.clear()
    made, waiting = here.submit(), here.submit()
    within(here.network.begun.is_set)
    stopping = threading.Thread(target=here.engine.stop)
    stopping.start()
    here.network.open.set()
    stopping.join(60)
    assert [here.shelf.job(job.id).state for job in (made, waiting)] == ["done", "queued"]


def test_a_model_that_was_trained_further_makes_pictures_with_its_new_weights(house):
    here = house()
    here.finished(here.submit())
    here.pipeline = newer = Instant()
    here.engine.models.offer("instant", "nowhere")
    here.finished(here.submit(), here.submit())
    assert newer.network.passes


# --- what is accepted -------------------------------------------------------------------------------------------------


def test_who_asks_for_too_much_is_told_when_to_come_again(house):
    here = house(seats=1, limits=Limits(each_owner=2, queue=3))
    here.network.open.clear()
    here.submit(), here.submit()
    with pytest.raises(QueueFull, match="2 jobs of yours") as full:
        here.submit()
    assert full.value.retry_after >= 1
    here.submit(owner=OTHER)
    with pytest.raises(QueueFull, match="3 jobs are not finished"):
        here.submit(owner="a third")
    assert len(here.shelf.of) == 3


def test_when_there_is_room_again_is_told_from_the_measured_speed():
    job = House().shelf.add(ME, "instant", request(steps=40), 2)
    quick = House().shelf.add(ME, "instant", request(steps=20), 1)
    some = [Ongoing.of(job, ()), Ongoing.of(quick, ())]
    assert seconds_until_room(some, 10.0) == 10  # nothing is under way yet
    some[0].under_way[0], some[1].under_way[0] = (Picture(0, None, steps=steps) for steps in (0, 10))
    some[1].waiting.clear(), some[0].waiting.pop(0)
    assert seconds_until_room(some, 10.0) == 2  # 10 steps are left, and half of the speed is for them
    assert seconds_until_room(some, None) == 10


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"count": 17}, "count"),
        ({"count": 0}, "count"),
        ({"steps": 201}, "num_inference_steps is at most 200"),
        ({"prompt": "x" * 4001}, "4001 characters"),
        ({"prompt": " AND ".join(["a"] * 17)}, "17 branches"),
        ({"width": 4096, "height": 4096}, "more than the 4194304"),
        ({"spacing": "/etc/steps.json"}, "spacing names a file"),
        ({"seed": 2**63 - 1, "count": 2}, "seed is"),
    ],
)
def test_what_goes_beyond_the_limits_is_refused(asked, message):
    here = House()
    with pytest.raises(PromptError, match=message):
        here.submit(**asked)
    assert not here.shelf.of


def test_limits_are_above_0():
    with pytest.raises(RecipeError, match="queue"):
        Limits(queue=0)


def test_only_models_that_are_offered_are_loaded_and_each_once():
    loaded = []

    def load(name):
        time.sleep(0.05)
        loaded.append(name)
        return Instant()

    models = Models({"one": "a/folder", "two": "another"}, load=load)
    assert (models.names(), models.default) == (["one", "two"], "one")
    with ThreadPoolExecutor(4) as pool:
        assert len({id(each) for each in pool.map(models.pipeline, ["one"] * 4)}) == 1
    assert loaded == ["a/folder"]
    for ask in (models.pipeline, models.writer):
        with pytest.raises(ModelNotFound, match="one, two"):
            ask("../one")
    with pytest.raises(RecipeError):
        Models({})
    assert Models({"digits": "digits"}, "cpu").writer("digits") is None


def test_an_unknown_job_is_not_found():
    here = House()
    for ask in (here.engine.cancel, here.engine.position, lambda id: followed(here.engine, id)):
        with pytest.raises(JobNotFound):
            ask("nobody")


# --- watching ---------------------------------------------------------------------------------------------------------


def test_who_reads_slowly_misses_steps_and_nothing_else(house):
    here = house()
    here.network.open.clear()
    job = here.submit(steps=200, count=2)
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(followed, here.engine, job.id, None, 0.05)
        within(lambda: here.engine._followers.of(job.id))
        here.network.open.set()
        events = telling.result(60)
    assert len(events) < 200
    assert sorted(event.picture for event in events if event.kind == "picture") == [0, 1]
    assert events[-1].kind == "done"


def test_a_reader_holds_few_events_and_none_that_are_out_of_date():
    async def run():
        follower = Follower(asyncio.get_running_loop())
        for step in range(100):
            follower.put(Event("a", "step", 0, step=step))
        follower.put(Event("a", "step", 1, step=7))
        follower.put(Event("a", "picture", 0))
        follower.put(Event("a", "done"))
        return [event async for event in follower.events()]

    assert [(event.kind, event.picture) for event in asyncio.run(run())] == [("step", 1), ("picture", 0), ("done", 0)]


def test_readers_are_let_go_when_the_engine_stops(house):
    here = house(seats=1)
    here.network.open.clear()
    job = here.submit(steps=50)
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(followed, here.engine, job.id)
        within(lambda: here.engine._followers.of(job.id))
        here.network.open.set()
        here.engine.stop(0)
        assert all(event.kind != "failed" for event in telling.result(60))


def test_who_follows_waits_for_nobody_elses_threads(house):
    here, gate = house(), threading.Event()
    (job,) = here.finished(here.submit())

    async def run():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        others = loop.run_in_executor(None, gate.wait, 60)
        try:
            async with asyncio.timeout(30):
                return [event.kind async for event in here.engine.follow(job.id)]
        finally:
            gate.set()
            await others

    assert asyncio.run(run()) == ["done"]


def test_previews_are_made_when_somebody_looks_and_not_too_often():
    made = []

    class Painted:
        def pictures(self):
            made.append(self)
            return torch.zeros(1, 3, 4, 4)

    preview, first, second = Preview(), Painted(), Painted()
    image = preview.of(first)
    assert preview.of(second) is image  # too soon
    preview._again = 0.0
    assert preview.of(first) is image
    assert preview.of(second) is not image
    assert made == [first, second]


def test_a_preview_is_there_at_every_step(house):
    here = house(seats=1)
    here.network.open.clear()
    job, seen = here.submit(steps=30, seed=500), []
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(followed, here.engine, job.id, seen)
        here.network.open.set()
        telling.result(60)
    steps = [event for event in seen if event.kind == "step"]
    assert steps[-1].preview().size == (8, 8)


def test_speed_counts_the_time_in_which_there_is_work():
    now = [0.0]
    speed = Speed(lambda: now[0])
    assert speed.a_second is None
    speed.working(True)
    for _ in range(5):
        now[0] += 0.5
        speed.count()
    speed.working(False)
    now[0] += 1000
    assert speed.a_second == 2.0


# --- the real thing ---------------------------------------------------------------------------------------------------


def test_pictures_of_the_digits_are_kept_in_the_store_as_they_are_made_alone(tmp_path):
    pipeline = Pipeline.load("digits", "cpu")
    asked = [
        pipeline.requests("a handwritten three", seed=5, num_inference_steps=3, upsampler_steps=1)[0],
        pipeline.requests("seven", seed=9, num_inference_steps=2, solver="euler", guidance_scale=1.0)[0],
    ]
    with Store(tmp_path) as store:
        models = Models({"digits": ""}, "cpu", load=lambda _: pipeline)
        engine = Engine(models, store, sharing=Sharing(rows=8, seats=3))
        engine.start()
        try:
            jobs = [engine.submit(ME, "digits", each, 2) for each in asked]
            within(lambda: all(store.job(job.id).is_finished for job in jobs), 300)
        finally:
            engine.stop()
        for each, job in zip(asked, jobs, strict=True):
            for number in range(2):
                path = store.path(job.id, number)
                recipe = read_recipe(path)
                assert recipe["request"]["seed"] == each.seed + number
                alone = np.asarray(pipeline.replay(recipe).pictures[0]).astype(int)
                assert np.abs(np.asarray(Image.open(path)).astype(int) - alone).max() <= 1
