"""The page that looks inside: how a picture emerges from its words, and what another prompt does differently."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nicegui import ui

from sfumato.errors import PromptError, SfumatoError
from sfumato.pipelines.request import LARGEST_SEED, LONGEST_PROMPT, Request
from sfumato.server.studio.controls import Bar, Fold, button, line, number, words
from sfumato.server.studio.form import ENTER_MAKES, kept, prompt_field, seed_field, seed_of
from sfumato.server.studio.layout import page
from sfumato.server.studio.looks import Left, Looks, Wanted
from sfumato.server.studio.pictures import named
from sfumato.server.studio.studio import Studio

MOST_STEPS = 100  # each is kept and drawn
MOST_SEEDS = 5
ABOUT = (
    "See the picture emerge step by step, where in it each word acts, what guidance adds, and how another prompt goes "
    "another way. Pictures that were made on the page Create can be looked into from there."
)


def attach(studio: Studio) -> None:
    """Define the page."""
    looks = Looks(studio)

    @studio.page("/xray", "X-ray")
    async def xray(picture: str = "") -> None:
        with page(studio, "X-ray"):
            made = Xray(studio, looks, studio.owner, studio.model)
        await ui.context.client.connected()
        await made.begin(picture)


@dataclass
class Look:
    """One look inside, while it lasts.

    Attributes:
        wanted: whether somebody waits for it still.
        done, total: traces that are there, and of how many.
    """

    wanted: bool = True
    done: int = 0
    total: int = 1


class Xray:
    """What the page does.

    Args:
        studio: has the models and the history.
        looks: what was looked into, as pages.
        owner: who looks.
        model: the chosen one, by name.
    """

    def __init__(self, studio: Studio, looks: Looks, owner: str, model: str) -> None:
        self._studio, self._looks, self._owner, self._model = studio, looks, owner, model
        self._given: Request | None = None  # of the picture from the history
        self._now: Look | None = None
        with ui.element("div").classes("ask"):
            self._prompt = prompt_field(self.look)
            self._trouble = ui.label().props("role=alert").classes("bad trouble")
            with ui.element("div").classes("row under"):
                self._button = button("Look inside", self.look, "main")
                self._stop = button("Cancel", self._leave)
                self._stop.props["data-key"] = "Escape"
                self._more = Fold("More")
                self._told = ui.label().props("role=status").classes("soft")
            with self._more.inside():
                self._fields()
            self._bar = Bar("How much was looked into")
        self._watch = ui.timer(0.3, self._tell, active=False)
        self._idle()
        with ui.element("div").classes("look") as self._shown:
            words("p", ABOUT).classes("ask soft")

    def _fields(self) -> None:
        self._other = line("Another prompt beside it", "none", f"maxlength={LONGEST_PROMPT}")
        self._other.on("keydown.enter", self.look, js_handler=ENTER_MAKES)
        self._seed = seed_field()
        self._steps = number("Steps", 1, MOST_STEPS)
        self._seeds = number("Seeds beside it", 0, MOST_SEEDS, "0")
        self._every = ui.checkbox("Take away each word in turn").props("dense").classes("whole")

    async def begin(self, picture: str) -> None:
        """Take up the draft, or look into a picture of the history, named by `picture`."""
        if not picture:
            draft = str((await kept()).get("prompt") or "")
            self._prompt.value = self._prompt.value or draft  # somebody may have begun to type meanwhile
            return
        found = await asyncio.to_thread(named, self._studio, self._owner, picture)
        if found is None:
            self._trouble.set_text("There is no such picture any more.")
            return
        try:
            self._given, self._model = found.request, found.job.model
        except SfumatoError as error:  # it is of another version
            self._trouble.set_text(str(error))
            return
        self._prompt.value, self._seed.value = self._given.prompt, str(self._given.seed)
        self._steps.value = self._given.num_inference_steps
        self._more.show(True)
        await self.look()

    async def look(self) -> None:
        """Make the pictures with a recorder beside them, and show what it saw."""
        if self._now and self._now.wanted:
            return
        now = self._now = Look()
        trouble = ""
        self._busy()
        try:
            wanted = await asyncio.to_thread(self._wanted)
            url = await self._looks.add(self._owner, wanted, partial(self._hear, now))
            if now is self._now:
                self._show(url, wanted)
        except Left:
            trouble = "Cancelled."
        except SfumatoError as error:
            trouble = str(error)
        finally:
            if now is self._now:  # else the next one began while this one ended
                self._trouble.set_text(trouble)
                self._idle()

    def _wanted(self) -> Wanted:
        """What the fields ask for; a picture of the history keeps its other settings. PromptError for what is wrong."""
        prompt = (self._prompt.value or "").strip()
        if not prompt:
            raise PromptError("Say in a few words what the picture shows.")
        steps = _within("Steps", self._steps.value, 1, MOST_STEPS)
        beside = _within("Seeds beside it", self._seeds.value, 0, MOST_SEEDS) or 0
        changes = {"num_inference_steps": steps, "seed": seed_of(self._seed.value)}
        settings: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
        if self._given is None:
            request = self._studio.models.pipeline(self._model).requests(prompt, **settings)[0]
        else:
            request = replace(self._given, prompt=prompt, **settings)
        if request.num_inference_steps > MOST_STEPS:
            raise PromptError(f"{request.num_inference_steps} steps are more than the {MOST_STEPS} that are kept here.")
        seeds = 1 + min(beside, LARGEST_SEED - request.seed)
        return Wanted(self._model, request, (self._other.value or "").strip(), seeds, bool(self._every.value))

    def _show(self, url: str, wanted: Wanted) -> None:
        self._shown.clear()
        with self._shown:
            with ui.element("div").classes("row links"):
                ui.link("On a page of its own", url, new_tab=True)
                ui.link("Download", url).props["download"] = "xray.html"
            frame = ui.element("iframe").props("sandbox=allow-scripts")
            frame.props["src"], frame.props["title"] = url, f"Inside: {wanted.request.prompt[:200]}"

    def _hear(self, look: Look, done: int, total: int) -> bool:
        """Told of progress in the thread that looks; says whether somebody waits for it still."""
        look.done, look.total = done, total
        return look.wanted and not self._shown.is_deleted

    def _busy(self) -> None:
        self._trouble.set_text("")
        self._button.disable()
        self._stop.set_visibility(True)
        self._bar.set_visibility(True)
        self._watch.activate()

    def _tell(self) -> None:
        now = self._now
        if not now or not now.wanted:  # a last tick of the clock
            return
        self._bar.show(now.done / now.total)
        text = "Looking; it takes up to twice as long as making the picture."
        if now.total > 1:
            text = f"{now.done} of {now.total}"
        if text != self._told.text:
            self._told.set_text(text)

    def _leave(self) -> None:
        if self._now:
            self._now.wanted = False
        self._told.set_text("Ending with this picture.")

    def _idle(self) -> None:
        self._now = None
        self._watch.deactivate()
        self._button.enable()
        self._stop.set_visibility(False)
        self._bar.set_visibility(False)
        self._told.set_text("")


def _within(label: str, value: float | None, least: int, most: int) -> int | None:
    """A whole number in a range, or None where nothing was filled in; PromptError else."""
    if value is not None and not (least <= value <= most and value == int(value)):
        raise PromptError(f"{label}: a whole number from {least} to {most}, not {value:g}.")
    return None if value is None else int(value)
