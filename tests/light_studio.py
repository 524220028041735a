"""Light doubles of the engine and the models: pictures of one colour, at once or when a test lets them go on."""

import asyncio
import threading
import time
from dataclasses import fields, replace
from hashlib import sha256
from types import SimpleNamespace

from nicegui import ui
from PIL import Image

from sfumato.errors import PromptError
from sfumato.pipelines.request import Request
from sfumato.server.job import FINISHED, Event
from sfumato.server.limits import Limits

SIDE, STEPS = 64, 4
EDITING = {"picture", "mask", "strength", "extend", "regions"}


def coloured(request, step=STEPS):
    """What the double makes of a request: its colour depends on seed and words alone, and gathers step by step."""
    told = sha256(f"{request.prompt} {request.seed}".encode()).digest()
    share = step / STEPS
    size = (request.width or SIDE, request.height or SIDE)
    return Image.new("RGB", size, tuple(round(128 + (one - 128) * share) for one in told[:3]))


class LightPipeline:
    """Checks requests as a pipeline does, and knows nothing else."""

    final_size = base_size = SIDE
    way = SimpleNamespace(unit=16, takes=frozenset(EDITING & {field.name for field in fields(Request)}))
    model = SimpleNamespace(tokenizers={}, t5_tokenizers={}, name="light", folder=None)

    def requests(self, prompt, count=1, seed=None, **settings):
        if settings.get("width", SIDE) % 32:
            raise PromptError(f"width {settings['width']} is not a multiple of 32 pixels, as this model needs; try 64.")
        first = Request(prompt, 7 if seed is None else seed, **{"num_inference_steps": STEPS, **settings})
        return [replace(first, seed=first.seed + i) for i in range(count)]

    def recipe(self, request):
        return {"model": "light", "request": request.to_dict()}


class LightModels:
    """Models by name, all the same."""

    default = "light"

    def __init__(self, names=("light",)):
        self._names, self.has_writer, self.made = list(names), False, LightPipeline()

    def names(self):
        return self._names

    def pipeline(self, name):
        return self.made

    def offer(self, name, model):
        self._names.append(name)

    def writer(self, name):
        return self if self.has_writer else None


class LightKeys:
    """Keys that are known as they are: owners by key; None where there never was one."""

    def __init__(self, owners):
        self._owners, self._asked = owners or {}, owners is not None

    def all(self):
        return [SimpleNamespace(id=owner) for owner in self._owners.values()]

    def asked(self):
        return self._asked

    def owner(self, key):
        return self._owners.get(key)


class LightEngine:
    """Does what is submitted in a thread of its own; `gate`, while it is not set, holds it before each step."""

    def __init__(self, store, models=None):
        self.store, self.models, self.limits = store, models or LightModels(), Limits()
        self.gate = threading.Event()
        self.gate.set()
        self.submitted = []
        self._events, self._threads, self._cancelled = {}, [], set()

    def submit(self, owner, model, request, count=1, private=False):
        job = self.store.add(owner, model, request, count, private)
        self.submitted.append((request, count))
        self._events[job.id] = [Event(job.id, "queued")]
        self._threads.append(threading.Thread(target=self._make, args=(job,), daemon=True))
        self._threads[-1].start()
        return job

    def cancel(self, id):
        self._cancelled.add(id)
        return self.store.job(id)

    def end(self):
        """Let everything come to its end."""
        self._cancelled.update(self._events)
        self.gate.set()
        for thread in self._threads:
            thread.join()

    async def follow(self, id):
        seen = 0
        events = self._events.get(id, [])
        while True:
            for event in events[seen:]:
                seen += 1
                yield event
                if event.kind in FINISHED:
                    return
            if self.store.job(id).state in FINISHED and seen == len(events):
                return
            await asyncio.sleep(0.01)

    def _make(self, job):
        tell = self._events[job.id].append
        self.store.mark(job.id, "running")
        for number in range(job.count):
            request = job.asked(number)
            for step in range(STEPS + 1):
                while not self.gate.wait(0.01):
                    if job.id in self._cancelled:
                        break
                if job.id in self._cancelled:
                    self.store.mark(job.id, "cancelled")
                    tell(Event(job.id, "cancelled"))
                    return
                look = lambda request=request, step=step: coloured(request, step)  # noqa: E731
                tell(Event(job.id, "step", number, "denoise", step, STEPS, preview=look))
            if "fail" in request.prompt:
                self.store.mark(job.id, "failed", "The model gave up on this one.")
                tell(Event(job.id, "failed", number))
                return
            self.store.keep(job.id, number, coloured(request), self.models.made.recipe(request))
            tell(Event(job.id, "picture", number))
        self.store.mark(job.id, "done")
        tell(Event(job.id, "done"))


def done(engine, request, count=1, owner="local"):
    """A job that is submitted and finished."""
    job = engine.submit(owner, "light", request, count)
    while not (now := engine.store.job(job.id)).is_finished:
        time.sleep(0.01)
    return now


def unfold(person):
    """Press what shows the other fields."""
    person.find(kind=ui.button, content="More").click()


def fill(person, label, value):
    """Put a value into the field with a label, as a simulated person does."""
    fields = {one for kind in (ui.number, ui.input, ui.select) for one in _found(person, kind)}
    (field,) = [one for one in fields if one.props.get("aria-label") == label]
    with person:
        field.value = value


def _found(person, kind):
    try:
        return person.find(kind=kind).elements
    except AssertionError:  # none of this kind
        return set()
