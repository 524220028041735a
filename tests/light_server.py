"""A server whose engine makes its pictures at once, of one colour: for tests of what is around it."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from PIL import Image

from sfumato.errors import JobNotFound, ModelNotFound, PromptError, QueueFull
from sfumato.pipelines.request import GUIDED, VARYING, Request
from sfumato.server.app import create_app
from sfumato.server.job import FINISHED, Event
from sfumato.server.limits import Limits
from sfumato.server.listening import Server, configured
from sfumato.server.settings import Settings

SIDE, UNIT = 32, 8
TAKES = frozenset(
    {"solver", "eta", "spacing", "times", "picture", "mask", "strength", "prompt_syntax", *GUIDED, *VARYING}
)


class LightPipeline:
    """Checks requests as a pipeline does, and makes nothing."""

    factors, final_size = (2,), SIDE

    def __init__(self):
        self.way = SimpleNamespace(takes=TAKES, unit=UNIT // 2, usual={})

    def requests(self, prompt, count=1, seed=None, **settings):
        try:
            first = Request(prompt, 7 if seed is None else seed, **settings)
        except TypeError as error:
            raise PromptError(f"There is no such setting: {error}") from error
        first.require(TAKES, "light")
        return [replace(first, seed=first.seed + number) for number in range(count)]

    def batch(self, requests):
        (one,) = requests
        width, height = (SIDE, SIDE) if one.picture is None else one.picture.open().size
        width, height = one.width or width, one.height or height
        for name, side in (("width", width), ("height", height)):
            if side % UNIT:
                raise PromptError(f"{name} {side} is not a multiple of {UNIT} pixels, as this model needs.")
        return SimpleNamespace(width=width // 2, height=height // 2)


class LightModels:
    """One model, "light", and a language model in "words", if one is given."""

    def __init__(self, writer=None):
        self.writers = {"light": None, "words": writer}
        self.default = "light"

    def names(self):
        return list(self.writers)

    def pipeline(self, name):
        self.writer(name)
        return LightPipeline()

    def writer(self, name):
        if name not in self.writers:
            raise ModelNotFound(f"There is no model {name!r:.100} here.")
        return self.writers[name]


@dataclass(frozen=True)
class Busy:
    queued: int
    running: int
    pictures_a_second: float | None = None


class LightEngine:
    """Makes each picture in a few steps that take no time, in a thread.

    `gate` holds it before its first step, and is open; `middle` before its last. `full` has it refuse, and `fails`
    has it fail.
    """

    def __init__(self, store, limits=Limits(), writer=None):
        self.models, self.store, self.limits = LightModels(writer), store, limits
        self.gate, self.middle = threading.Event(), threading.Event()
        self.gate.set()
        self.middle.set()
        self.full, self.fails, self.running = False, "", 0
        self._told, self._followers = {}, {}
        self._lock = threading.Lock()
        self._threads = []

    def start(self):
        pass

    def stop(self, seconds=10):
        self.gate.set()
        self.middle.set()
        for thread in self._threads:
            thread.join()

    def accept(self, owner, model, request, count=1, private=False):
        self.limits.require(request, count)
        batch = self.models.pipeline(model).batch([request])
        size = batch.width * 2, batch.height * 2
        self.limits.require_size(*size)
        if self.full:
            raise QueueFull("There are 3 jobs that are not finished; come again in 7 s.", 7)
        job = self.store.add(owner, model, request, count, private)
        self._tell(Event(job.id, "queued"))
        thread = threading.Thread(target=self._make, args=(job,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return job, size

    def cancel(self, id):
        job = self.store.job(id)
        if job is None:
            raise JobNotFound("There is no such job.")
        if not job.is_finished:
            job = self.store.mark(id, "cancelled")
            self._tell(Event(id, "cancelled"))
        return job

    def position(self, id):
        return 0

    async def follow(self, id):
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._followers.setdefault(id, []).append((loop, news))
        seen = 0
        while True:
            for event in self._told.get(id, [])[seen:]:
                seen += 1
                yield event
                if event.kind in FINISHED:
                    return
            await news.wait()
            news.clear()

    def busy(self):
        return Busy(0, self.running)

    def _make(self, job):
        self.gate.wait()
        try:
            self._paint(job)
        except Exception:
            now = self.store.job(job.id)
            if now is not None and not now.is_finished:
                raise

    def _paint(self, job):
        self.store.mark(job.id, "running")
        if self.fails:
            self.store.mark(job.id, "failed", self.fails)
            self._tell(Event(job.id, "failed"))
            return
        for number in range(job.count):
            request = job.asked(number)
            picture = painted(request)
            steps = request.num_inference_steps
            for step in range(steps + 1):
                if step == steps:
                    self.middle.wait()
                self._tell(Event(job.id, "step", number, "denoise", step, steps, preview=picture.copy))
            recipe = {"sfumato_version": "0", "model": "light", "request": request.to_dict()}
            self.store.keep(job.id, number, picture, recipe)
            self._tell(Event(job.id, "picture", number))
        self.store.mark(job.id, "done")
        self._tell(Event(job.id, "done"))

    def _tell(self, event):
        with self._lock:
            self._told.setdefault(event.job, []).append(event)
            followers = list(self._followers.get(event.job, []))
        for loop, news in followers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.set)


@contextmanager
def listening(app):
    """The application behind a socket of this machine; gives the port."""
    server = Server(configured(app, app.state.serving.settings))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def painted(request):
    """The picture of a request: of the colour of its seed, and under a mask of another."""
    width, height = (SIDE, SIDE) if request.picture is None else request.picture.open().size
    size = (request.width or width, request.height or height)
    new = Image.new("RGB", size, (request.seed % 256, 100, 50))
    if request.mask is None:
        return new
    free = request.mask.open().convert("L").resize(size)
    return Image.composite(new, request.picture.open().resize(size), free)


def light_app(engine, folder, **settings):
    """The application of an engine, with a store's folder."""
    return create_app(engine, Settings(folder, **settings))


def png(colour, size=(SIDE, SIDE), alpha=None):
    """A PNG file of one colour; `alpha` is a box that is transparent."""
    picture = Image.new("RGBA" if alpha else "RGB", size, colour)
    if alpha:
        values = np.asarray(picture).copy()
        left, top, right, bottom = alpha
        values[top:bottom, left:right, 3] = 0
        picture = Image.fromarray(values)
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()
