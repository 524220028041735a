"""The page that looks inside: how a picture emerges from its words, and what another prompt does differently."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from nicegui import ui

from sfumato.errors import PromptError, SfumatoError
from sfumato.pipelines.request import LARGEST_SEED, LONGEST_PROMPT, Request
from sfumato.server.studio.controls import Bar, button, field, number
from sfumato.server.studio.form import ENTER_MAKES, seed_of
from sfumato.server.studio.layout import page
from sfumato.server.studio.looks import Left, Looks, Wanted
from sfumato.server.studio.pictures import named
from sfumato.server.studio.studio import Studio

MOST_STEPS = 100  # each is kept and drawn
MOST_SEEDS = 6


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
        self._going = False
        with ui.element("div").classes("ask"):
            self._fields()
            self._trouble = ui.label().props("role=alert").classes("bad trouble")
            with ui.element("div").classes("row"):
                self._button = button("Look inside", self.look, "main")
                self._stop = button("Cancel", self._leave)
                self._stop.props["data-key"] = "Escape"
                self._told = ui.label().props("role=status").classes("soft")
            self._bar = Bar("How much was looked into")
        self._idle()
        self._shown = ui.element("div").classes("look")

    def _fields(self) -> None:
        self._prompt = ui.textarea(placeholder="a red cat beside a blue box")
        self._prompt.props(f"autogrow borderless maxlength={LONGEST_PROMPT}").classes("prompt")
        self._prompt.props["aria-label"] = "What the picture shows"
        self._prompt.on("keydown.enter", self.look, js_handler=ENTER_MAKES)
        self._prompt.on("update:model-value", js_handler="(value) => sfumato.keep('prompt', value)")
        with ui.element("div").classes("fields"):
            with field("Beside it, another prompt"):
                self._other = ui.input(placeholder="none").props(f"outlined dense maxlength={LONGEST_PROMPT}")
                self._other.props["aria-label"] = "Beside it, another prompt"
                self._other.on("keydown.enter", self.look, js_handler=ENTER_MAKES)
            with field("Seed"):
                self._seed = ui.input(placeholder="random").props("outlined dense inputmode=numeric")
                self._seed.props["aria-label"] = "Seed"
            self._steps = number("Steps", 1, MOST_STEPS, "20")
            self._seeds = number("Seeds, whose ways are drawn", 1, MOST_SEEDS, "1")
        self._every = ui.checkbox("Also take away each word in turn; that takes as many pictures").props("dense")

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
        if self._going:
            return
        self._trouble.set_text("")
        self._busy()
        try:
            wanted = await asyncio.to_thread(self._wanted)
            told: list[tuple[int, int]] = [(0, 1)]
            watch = ui.timer(0.3, lambda: self._tell(*told[0]))

            def tell(done: int, total: int) -> bool:
                told[0] = done, total
                return self._going and not self._shown.is_deleted

            try:
                self._show(await self._looks.add(self._owner, wanted, tell), wanted)
            finally:
                watch.cancel()
        except Left:
            self._trouble.set_text("Cancelled.")
        except SfumatoError as error:
            self._trouble.set_text(str(error))
        finally:
            self._idle()

    def _wanted(self) -> Wanted:
        """What the fields ask for; a picture of the history keeps its other settings. PromptError for what is wrong."""
        prompt = (self._prompt.value or "").strip()
        if not prompt:
            raise PromptError("Say in a few words what the picture shows.")
        steps, seeds = _within("Steps", self._steps.value, MOST_STEPS), _within("Seeds", self._seeds.value, MOST_SEEDS)
        changes = {"num_inference_steps": steps, "seed": seed_of(self._seed.value)}
        settings = {name: value for name, value in changes.items() if value is not None}
        if self._given is None:
            request = self._studio.models.pipeline(self._model).requests(prompt, **settings)[0]
        else:
            request = replace(self._given, prompt=prompt, **settings)
        if request.num_inference_steps > MOST_STEPS:
            raise PromptError(f"{request.num_inference_steps} steps are more than the {MOST_STEPS} that are kept here.")
        seeds = min(seeds or 1, LARGEST_SEED - request.seed + 1)
        return Wanted(self._model, request, (self._other.value or "").strip(), seeds, bool(self._every.value))

    def _show(self, url: str, wanted: Wanted) -> None:
        self._shown.clear()
        with self._shown:
            with ui.element("div").classes("row links"):
                ui.link("On a page of its own", url, new_tab=True)
                ui.link("Download", url).props["download"] = "xray.html"
            frame = ui.element("iframe").props("sandbox=allow-scripts")
            frame.props["src"], frame.props["title"] = url, f"Inside: {wanted.request.prompt[:200]}"

    def _busy(self) -> None:
        self._going = True
        self._button.disable()
        self._stop.set_visibility(True)
        self._bar.set_visibility(True)
        self._tell(0, 1)

    def _tell(self, done: int, total: int) -> None:
        self._bar.show(done / total)
        text = "Looking; it takes up to twice as long as making the picture." if total == 1 else f"{done} of {total}"
        if text != self._told.text:
            self._told.set_text(text)

    def _leave(self) -> None:
        self._going = False
        self._told.set_text("Ending with this picture.")

    def _idle(self) -> None:
        self._going = False
        self._button.enable()
        self._stop.set_visibility(False)
        self._bar.set_visibility(False)
        self._told.set_text("")


def _within(label: str, value: float | None, most: int) -> int | None:
    """A whole number from 1, or None where nothing was filled in; PromptError else."""
    if value is not None and not (1 <= value <= most and value == int(value)):
        raise PromptError(f"{label}: a whole number from 1 to {most}, not {value:g}.")
    return None if value is None else int(value)
