"""The page that looks inside: how a picture emerges from its words, and what another prompt does differently."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from nicegui import ui

from sfumato.errors import PromptError, SfumatoError
from sfumato.pipelines.request import LONGEST_PROMPT, Request
from sfumato.server.studio.controls import button, field, number, words
from sfumato.server.studio.form import ENTER_MAKES, seed_of
from sfumato.server.studio.layout import page
from sfumato.server.studio.looks import Looks
from sfumato.server.studio.pictures import named
from sfumato.server.studio.studio import Studio

MOST_STEPS = 100  # each is kept and drawn


def attach(studio: Studio) -> None:
    """Define the page, and the route that serves what it shows."""
    looks = Looks(studio)
    looks.attach()

    @studio.page("/xray", "X-ray")
    async def xray(picture: str = "") -> None:
        with page(studio, "X-ray"):
            made = Xray(studio, looks, studio.owner, studio.model)
        await ui.context.client.connected()
        await made.begin(picture)


@dataclass
class _Wanted:
    """What is looked into: the model by name, and a request for each prompt."""

    model: str
    requests: list[Request]


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
        with ui.element("div").classes("ask"):
            self._prompt = self._words("What the picture shows", "a red cat beside a blue box")
            self._trouble = ui.label().props("role=alert").classes("bad trouble")
            with ui.element("div").classes("fields"):
                with field("Beside it, another prompt"):
                    self._other = ui.input(placeholder="none").props(f"outlined dense maxlength={LONGEST_PROMPT}")
                    self._other.props["aria-label"] = "Beside it, another prompt"
                    self._other.on("keydown.enter", self.look, js_handler=ENTER_MAKES)
                with field("Seed"):
                    self._seed = ui.input(placeholder="random").props("outlined dense inputmode=numeric")
                    self._seed.props["aria-label"] = "Seed"
                self._steps = number("Steps", 1, MOST_STEPS, "20")
            with ui.element("div").classes("row"):
                self._button = button("Look inside", self.look, "main")
                self._told = ui.label().props("role=status").classes("soft")
        self._shown = ui.element("div").classes("looks")

    def _words(self, label: str, hint: str) -> ui.textarea:
        made = ui.textarea(placeholder=hint)
        made.props(f"autogrow borderless maxlength={LONGEST_PROMPT}").classes("prompt")
        made.props["aria-label"] = label
        made.on("keydown.enter", self.look, js_handler=ENTER_MAKES)
        made.on("update:model-value", js_handler="(value) => sfumato.keep('prompt', value)")
        return made

    async def begin(self, picture: str) -> None:
        """Take up the draft, or look into a picture of the history, named by `picture`."""
        kept = await ui.run_javascript("return window.sfumato ? sfumato.kept() : {}", timeout=5) or {}
        if not picture:
            self._prompt.value = str(kept.get("prompt") or "")
            return
        found = await asyncio.to_thread(named, self._studio, self._owner, picture)
        if found is None:
            self._trouble.set_text("There is no such picture any more.")
            return
        self._given, self._model = found.request, found.job.model
        self._prompt.value, self._seed.value = self._given.prompt, str(self._given.seed)
        self._steps.value = self._given.num_inference_steps
        await self.look()

    async def look(self) -> None:
        """Make the pictures with a recorder beside them, and show what it saw."""
        self._trouble.set_text("")
        self._button.disable()
        self._told.set_text("Looking; this takes up to twice as long as making the picture.")
        try:
            wanted = await asyncio.to_thread(self._wanted)
            names = [await self._looks.add(self._owner, wanted.model, request) for request in wanted.requests]
            self._show(names, wanted.requests)
        except SfumatoError as error:
            self._trouble.set_text(str(error))
        finally:
            self._told.set_text("")
            self._button.enable()

    def _wanted(self) -> _Wanted:
        """What the fields ask for: a picture of the history keeps its other settings."""
        prompt, other = (self._prompt.value or "").strip(), (self._other.value or "").strip()
        if not prompt:
            raise PromptError("Say in a few words what the picture shows.")
        steps = self._steps.value
        if steps is not None and not (1 <= steps <= MOST_STEPS and steps == int(steps)):
            raise PromptError(f"Steps: a whole number from 1 to {MOST_STEPS}, since each is kept.")
        seed = seed_of(self._seed.value)
        if self._given is None:
            settings = {} if steps is None else {"num_inference_steps": int(steps)}
            first = self._studio.models.pipeline(self._model).requests(prompt, 1, seed, **settings)[0]
        else:
            given = self._given
            steps_now = given.num_inference_steps if steps is None else int(steps)
            seed_now = given.seed if seed is None else seed
            first = replace(given, prompt=prompt, seed=seed_now, num_inference_steps=steps_now)
        requests = [first, replace(first, prompt=other, typed="")] if other else [first]
        return _Wanted(self._model, requests)

    def _show(self, names: list[str], requests: list[Request]) -> None:
        self._shown.clear()
        with self._shown:
            for name, request in zip(names, requests, strict=True):
                with ui.element("section").classes("look"):
                    with ui.element("div").classes("row"):
                        words("h2", request.prompt)
                        ui.link("On a page of its own", self._looks.url(name), new_tab=True)
                    frame = ui.element("iframe").props("sandbox=allow-scripts")
                    frame.props["src"], frame.props["title"] = self._looks.url(name), f"Inside: {request.prompt[:200]}"
