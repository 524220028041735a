"""The engine: takes jobs, makes their pictures together, tells how far they are, and keeps them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import prod

import torch

from sfumato.devices import choose_device, on_threads
from sfumato.errors import JobNotFound, QueueFull, SfumatoError, StorageError
from sfumato.pipelines.request import Request
from sfumato.pipelines.text_to_image import Pipeline
from sfumato.pipelines.ways.way import Painting
from sfumato.server.batching.passes import Passes, Sitting, Stopped, is_out_of_memory
from sfumato.server.batching.sharing import Sharing
from sfumato.server.batching.twin import twins
from sfumato.server.following import Follower, Followers
from sfumato.server.job import Event, Job
from sfumato.server.limits import Limits
from sfumato.server.models import Models
from sfumato.server.ongoing import Ongoing, Picture, next_one, places, seconds_until_room
from sfumato.server.preview import picture_of
from sfumato.server.saying import said
from sfumato.server.speed import Speed
from sfumato.server.store import Store

log = logging.getLogger("sfumato.server")

LAST_WORDS = 5.0  # seconds in which a picture that was told to stop does
TELLING = 2  # threads for those who begin to follow a job


class _TimeIsUp(SfumatoError):
    """A job has had all the time that there is for one."""


@dataclass(frozen=True)
class Busy:
    """How busy an engine is.

    Attributes:
        jobs: that are not finished.
        queued, running: pictures that wait, and that are under way.
        steps_a_second, pictures_a_second: of the last ones; None before there were any.
        passes, calls, rows: forward passes since the start, the calls that they answered, and the rows of these.
    """

    jobs: int
    queued: int
    running: int
    steps_a_second: float | None
    pictures_a_second: float | None
    passes: int
    calls: int
    rows: int


class Engine:
    """Makes the pictures of many jobs at a time; `docs/batching.md` says how. Any thread may call its methods.

    Args:
        models: that are offered.
        store: where jobs and pictures are kept; those of it that are not finished go on.
        limits: of what is accepted.
        sharing: how forward passes are shared; as suits the device by default.
    """

    def __init__(self, models: Models, store: Store, limits: Limits = Limits(), sharing: Sharing | None = None) -> None:
        self.models, self.store, self.limits = models, store, limits
        device = choose_device(models.device)
        self.sharing = sharing or Sharing.on(device, offload=models.offload is not None)
        self.passes = Passes(self.sharing)
        self._change = threading.Condition()  # guards what follows; nothing slow but the store is done under it
        self._jobs: dict[str, Ongoing] = {}  # oldest first
        self._served: dict[str, int] = {}
        self._numbers, self._stopping = itertools.count(), False
        self._followers = Followers()
        self._shared: dict[str, tuple[Pipeline, Pipeline]] = {}  # as the models have it, and over twins
        self._telling = ThreadPoolExecutor(TELLING, "telling")  # the loop's own may be full of what takes long
        self._steps, self._pictures = Speed(), Speed()
        self._seats = [threading.Thread(target=self._seat, name="seat", daemon=True) for _ in range(self.sharing.seats)]

    def start(self) -> None:
        """Begin, first with what was not finished when the store was used last. Once only."""
        with self._change:
            for job in self.store.unfinished():
                self._take_up(job)
        self.passes.start()
        for seat in self._seats:
            seat.start()

    def stop(self, seconds: float = 10) -> None:
        """Accept and begin nothing more, give what is under way some seconds to be finished, and leave the rest.

        What is left is queued in the store, and goes on with the next engine.
        """
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._wait_for_seats(seconds)
        with self._change:
            for one in self._jobs.values():
                _stop(one)
        self.passes.stop()
        self._wait_for_seats(LAST_WORDS)
        with self._change:
            for one in self._jobs.values():
                if one.job.state == "running":
                    with suppress(StorageError):  # those that run go on with the next engine too
                        self.store.mark(one.job.id, "queued")
            self._jobs.clear()
        self._followers.end()

    # --- jobs -----------------------------------------------------------------------------------------------------

    def submit(self, owner: str, model: str, request: Request, count: int = 1, private: bool = False) -> Job:
        """Accept a job, as `accept` does, where nobody asks for the size of its pictures."""
        return self.accept(owner, model, request, count, private)[0]

    def accept(
        self, owner: str, model: str, request: Request, count: int = 1, private: bool = False
    ) -> tuple[Job, tuple[int, int]]:
        """Accept a job. When this returns, it is in the store; the model is loaded first, if it is not yet.

        Args:
            owner: whose it is; owners take turns.
            model: a name of `Models.names`.
            request: of the first picture, with all its settings; those of the model's makers where none are given are
                what `Pipeline.requests` puts there.
            count: pictures, with the seeds seed, seed + 1, ...
            private: its words are forgotten once it is finished.

        Returns:
            The job, and the width and height of its pictures in pixels.

        Raises:
            PromptError: something is asked for that this model cannot do or that the limits forbid.
            ModelNotFound, CheckpointError: there is no such model, or it cannot be loaded.
            QueueFull: there is enough to do; it says when to come again.
            StoreFull: the disk is full.
        """
        self.limits.require(request, count)
        request.following(count - 1)  # or its seeds end too late
        size = self._size(self.models.pipeline(model), request)
        with self._change:
            self._require_room(owner)
            job = self.store.add(owner, model, request, count, private)
            self._take_up(job)
            self._tell_places()
            self._change.notify_all()
        return job, size

    def cancel(self, id: str) -> Job:
        """Have a job end, at the next step of its pictures; one that is finished stays as it is. Raises JobNotFound."""
        with self._change:
            job = self._job(id)
            if not job.is_finished:  # nor under way, if its failure could not be written
                job = self.store.mark(id, "cancelled")
            if id in self._jobs:
                self._let_go(id, Event(id, job.state))
        return job

    def position(self, id: str) -> int:
        """How many pictures that wait come before a job; 0 for one that does not wait. Raises JobNotFound."""
        with self._change:
            if id not in self._jobs:
                self._job(id)
            return places(self._jobs.values(), self._served).get(id, 0)

    async def follow(self, id: str) -> AsyncGenerator[Event, None]:
        """What happens to a job from now on, until it is finished, or the engine stops or has given it up.

        It begins with where the job stands. Whoever reads slowly misses steps and nothing else; nobody waits for them.
        An event's preview takes its time when it is called, so not in an event loop. Raises JobNotFound.
        """
        with self._followers.following(id) as follower:
            await asyncio.get_running_loop().run_in_executor(self._telling, self._tell_where, id, follower)
            async for event in follower.events():
                yield event

    def busy(self) -> Busy:
        """How busy the engine is."""
        with self._change:
            queued, running = self._pictures_in("waiting"), self._pictures_in("under_way")
            jobs, tally = len(self._jobs), self.passes.tally
        speeds = self._steps.a_second, self._pictures.a_second
        return Busy(jobs, queued, running, *speeds, tally.passes, tally.calls, tally.rows)

    def _tell_where(self, id: str, follower: Follower) -> None:
        """Where a job stands; nothing more is told of it before this is."""
        with self._change:
            one = self._jobs.get(id)
            if one is None:
                follower.put(Event(id, self._job(id).state))
                follower.end()  # also where that is no end: nothing more is done for it here
            elif one.is_queued:
                one.place = places(self._jobs.values(), self._served)[id]
                follower.put(Event(id, "queued", position=one.place))
            else:
                for picture in one.under_way.values():
                    if picture.news is not None:
                        follower.put(picture.news)

    def _job(self, id: str) -> Job:
        job = self.store.job(id)
        if job is None:
            raise JobNotFound(f"There is no job {id!r:.100}.")
        return job

    # --- what is accepted -----------------------------------------------------------------------------------------

    def _size(self, pipeline: Pipeline, request: Request) -> tuple[int, int]:
        """Of a finished picture; PromptError when the model cannot make it, or when it is too large."""
        batch = pipeline.batch([request])
        larger = prod(pipeline.factors) if request.upsampler_steps else 1
        size = batch.width * larger, batch.height * larger
        self.limits.require_size(*size)
        return size

    def _require_room(self, owner: str) -> None:
        if self._stopping:
            raise QueueFull("The server is being stopped; it takes nothing more.", 60)
        every = list(self._jobs.values())
        own = [one for one in every if one.job.owner == owner]
        for jobs, most in ((own, self.limits.each_owner), (every, self.limits.queue)):
            if len(jobs) >= most:
                seconds = seconds_until_room(jobs, self._steps.a_second)
                whose = "of yours " if jobs is own else ""
                raise QueueFull(f"{len(jobs)} jobs {whose}are not finished yet: come again in {seconds} s.", seconds)

    def _take_up(self, job: Job) -> None:
        """A job that is in the store gets its pictures made that are not kept yet."""
        self._jobs[job.id] = Ongoing.of(job, self.store.kept(job.id))
        if not self._jobs[job.id].waiting:
            self._end(job.id)

    # --- making pictures ------------------------------------------------------------------------------------------

    def _seat(self) -> None:
        with on_threads(self.sharing.threads if self.sharing.exact else 1):
            while (taken := self._next()) is not None:
                one, picture = taken
                try:
                    self._make(one, picture)
                except Stopped:
                    pass
                except Exception as error:
                    self._failed(one, picture, error)
                finally:
                    self._leave(one, picture)

    def _next(self) -> tuple[Ongoing, Picture] | None:
        """The picture to make next; None when there will be no more."""
        with self._change:
            while not self._stopping:
                one = next_one(self._jobs.values(), self._served)
                if one is not None:
                    picture = Picture(one.waiting.pop(0), Sitting(one.job.owner, next(self._numbers)))
                    one.under_way[picture.number] = picture
                    self._served[one.job.owner] = picture.sitting.number
                    self._tell_places()
                    self._measure()
                    return one, picture
                self._change.wait()
            return None

    def _make(self, one: Ongoing, picture: Picture) -> None:
        self._begin(one)
        request = one.job.asked(picture.number)
        pipeline = self._pipeline(one.job.model)
        with self.passes.sitting(picture.sitting), torch.inference_mode():
            for painting in pipeline.paintings(pipeline.batch([request])):
                self._stepped(one, picture, painting)
            image, recipe = picture_of(painting), pipeline.recipe(request)
        self.store.keep(one.job.id, picture.number, image, recipe)
        with self._change:
            self._pictures.count()
            if self._jobs.get(one.job.id) is one:
                del one.under_way[picture.number]
                self._followers.tell(Event(one.job.id, "picture", picture.number))
                if not one.waiting and not one.under_way:
                    self._end(one.job.id)

    def _begin(self, one: Ongoing) -> None:
        with self._change:
            if one.until is None:
                one.until = time.monotonic() + self.limits.seconds
            if one.job.state == "queued" and self._jobs.get(one.job.id) is one:
                one.job = self.store.mark(one.job.id, "running")

    def _pipeline(self, model: str) -> Pipeline:
        """A model's pipeline, whose networks look when the engine has them look; a new one once the model is."""
        pipeline = self.models.pipeline(model)
        with self._change:
            if model not in self._shared or self._shared[model][0] is not pipeline:
                self._shared[model] = (pipeline, pipeline.over(twins(pipeline.model.parts, self.passes.ask)))
            return self._shared[model][1]

    def _stepped(self, one: Ongoing, picture: Picture, painting: Painting) -> None:
        picture.sitting.require_going()
        if one.until is not None and time.monotonic() > one.until:
            raise _TimeIsUp(f"The job took longer than the {self.limits.seconds:g} seconds that there are for one.")
        picture.steps += 1
        self._steps.count()
        preview = partial(picture.preview.of, painting)
        where = (painting.stage, painting.step, painting.steps)
        picture.news = Event(one.job.id, "step", picture.number, *where, preview=preview)
        self._followers.tell(picture.news)

    def _failed(self, one: Ongoing, picture: Picture, error: Exception) -> None:
        known = isinstance(error, SfumatoError) or is_out_of_memory(error)
        log.warning(
            "picture %d of job %s failed: %s", picture.number, one.job.id, type(error).__name__,
            exc_info=None if known else error,
        )  # fmt: skip
        with self._change:
            if self._jobs.get(one.job.id) is not one:
                return
            try:
                self.store.mark(one.job.id, "failed", said(error, one.job.private))
            except Exception as again:  # a full disk, say; it goes on with the next engine
                log.error("job %s could not be marked as failed: %s", one.job.id, type(again).__name__)
            self._let_go(one.job.id, Event(one.job.id, "failed"))

    def _leave(self, one: Ongoing, picture: Picture) -> None:
        with self._change:
            one.under_way.pop(picture.number, None)
            self._measure()

    def _end(self, id: str) -> None:
        """All pictures of a job are kept."""
        if self._jobs[id].job.state == "queued":
            self.store.mark(id, "running")
        self.store.mark(id, "done")
        self._let_go(id, Event(id, "done"))

    def _let_go(self, id: str, event: Event) -> None:
        """A job is finished; whatever of it is under way stops."""
        _stop(self._jobs.pop(id))
        self._followers.tell(event)
        self._tell_places()

    def _tell_places(self) -> None:
        """Tell those who follow a job that waits what has changed for it."""
        watched = [one for one in self._jobs.values() if one.is_queued and self._followers.of(one.job.id)]
        found = places(self._jobs.values(), self._served) if watched else {}
        for one in watched:
            if one.place != found[one.job.id]:
                one.place = found[one.job.id]
                self._followers.tell(Event(one.job.id, "queued", position=one.place))

    def _measure(self) -> None:
        under_way = self._pictures_in("under_way") > 0
        self._steps.working(under_way)
        self._pictures.working(under_way)

    def _pictures_in(self, where: str) -> int:
        return sum(len(getattr(one, where)) for one in self._jobs.values())

    def _wait_for_seats(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for seat in self._seats:
            if seat.ident is not None:
                seat.join(max(0.0, until - time.monotonic()))


def _stop(one: Ongoing) -> None:
    for picture in one.under_way.values():
        picture.sitting.stopped = True
