"""What a person fills in to ask for pictures: the words in front, everything else folded away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nicegui import ui

from sfumato.diffusion.solvers import SOLVERS
from sfumato.errors import PromptError, SfumatoError
from sfumato.pipelines.request import LARGEST_SEED, LARGEST_SIDE, LONGEST_PROMPT, MOST_STEPS, Request
from sfumato.server.studio.controls import Fold, button, choice, line, number

MOST_PICTURES = 16
OWN = "the model's own"  # solver

ENTER_MAKES = """(event) => {
    if (event.shiftKey || event.isComposing) return;
    event.preventDefault();
    emit();
}"""


def prompt_field(make: Callable[[], Any]) -> ui.textarea:
    """Where the words are typed; Enter makes. What stands in it stays with the tab."""
    made = ui.textarea(placeholder="a red cat beside a blue box")
    made.props(f"autogrow borderless maxlength={LONGEST_PROMPT}").classes("prompt")
    made.props["aria-label"] = "What the picture shows"
    made.on("keydown.enter", make, js_handler=ENTER_MAKES)
    return made.on("update:model-value", js_handler=kept_as("prompt"))


def seed_field() -> ui.input:
    """A seed; a text, since a browser's numbers are exact to 2^53 alone."""
    return line("Seed", "random", "inputmode=numeric")


def kept_as(name: str) -> str:
    """A handler in the browser that keeps a value for this tab."""
    return f"(value) => sfumato.keep({name!r}, value)"


async def kept() -> Mapping[str, Any]:
    """What this tab keeps for the page."""
    return await ui.run_javascript("return window.sfumato ? sfumato.kept() : {}", timeout=5) or {}


class Form:
    """The fields, built where it is made.

    Args:
        make: called when pictures are wanted.
        changed: called when the words change.
    """

    def __init__(self, make: Callable[[], Any], changed: Callable[[], Any]) -> None:
        with ui.element("div").classes("ask"):
            self.prompt = prompt_field(make).on_value_change(changed)
            self.advice = ui.element("div").classes("advice")
            self.trouble = ui.label().props("role=alert").classes("bad trouble")
            with ui.element("div").classes("row"):
                self.button = button("Make", make, "main")
                self._more = Fold("More")
                self.told = ui.label().props("role=status").classes("soft small")
            with self._more.inside():
                self._fields()
        self._remember()

    def _fields(self) -> None:
        self.count = number("Pictures", 1, MOST_PICTURES, "1")
        self.seed = seed_field()
        self.steps = number("Steps", 1, MOST_STEPS)
        self.guidance = number("Guidance", -1000, 1000, step=0.5)
        self.width = number("Width", 1, LARGEST_SIDE)
        self.height = number("Height", 1, LARGEST_SIDE)
        self.solver = choice("Solver", [OWN, *SOLVERS], OWN)
        self.negative = line("Not to be seen", "nothing")

    @property
    def _all(self) -> dict[str, Any]:
        names = ("prompt", "count", "seed", "steps", "guidance", "width", "height", "solver", "negative")
        return {name: getattr(self, name) for name in names}

    @property
    def is_asking(self) -> bool:
        """Whether a request is being handed over; keys and other buttons ask too."""
        return not self.button.enabled

    @property
    def words(self) -> str:
        """The prompt as it stands."""
        return (self.prompt.value or "").strip()

    @property
    def pictures(self) -> int:
        """How many are asked for; PromptError names the range."""
        count = _whole("Pictures", self.count.value)
        if count is not None and not 1 <= count <= MOST_PICTURES:
            raise PromptError(f"Pictures: from 1 to {MOST_PICTURES} at a time, not {count}.")
        return count or 1

    def settings(self) -> dict[str, Any]:
        """What is asked for besides the words, as `Pipeline.requests` takes it; PromptError for what is no number."""
        solver = self.solver.value
        asked = {
            "seed": seed_of(self.seed.value),
            "num_inference_steps": _whole("Steps", self.steps.value),
            "guidance_scale": self.guidance.value,
            "width": _whole("Width", self.width.value),
            "height": _whole("Height", self.height.value),
            "solver": None if solver == OWN else solver,
            "negative_prompt": (self.negative.value or "").strip() or None,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def show_usual(self, usual: Request, side: int) -> None:
        """Say in the empty fields what the model does where they stay empty."""
        self.steps.props["placeholder"] = f"{usual.num_inference_steps}"
        self.guidance.props["placeholder"] = f"{usual.guidance_scale:g}"
        self.width.props["placeholder"] = self.height.props["placeholder"] = f"{side}"

    def without_size(self) -> None:
        """Ask for no width and height, as where a picture has its own."""
        for made in (self.width, self.height):
            made.value = None
            if made.parent_slot:
                made.parent_slot.parent.set_visibility(False)

    def fill(self, request: Request) -> None:
        """Take over what a picture was made from."""
        self.prompt.value = request.prompt
        self.seed.value, self.steps.value = str(request.seed), request.num_inference_steps
        self.guidance.value, self.solver.value = request.guidance_scale, request.solver
        self.width.value, self.height.value = request.width, request.height
        self.negative.value = request.negative_prompt
        self._more.show(True)
        for name, made in self._all.items():
            _keep(name, made.value)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While a request is handed over: the button waits, and what is wrong with it is told beside the words."""
        self.complain()
        self.button.disable()
        try:
            yield
        except SfumatoError as error:
            self.complain(str(error))
        finally:
            self.button.enable()

    def complain(self, trouble: str = "") -> None:
        """Show what is wrong beside the words, or nothing any more."""
        self.trouble.set_text(trouble)

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Put back what this tab remembers into fields that are empty; what no field can hold is left out."""
        for name, made in self._all.items():
            value = kept.get(name)
            if isinstance(made, ui.number):
                fits = isinstance(value, int | float)
            else:
                fits = isinstance(value, str) and (made is not self.solver or value in made.options)
            if fits and made.value in (None, "", OWN):  # else somebody began to type before this was known
                made.value = value
        if any(kept.get(name) for name in self._all if name not in ("prompt", "solver")):
            self._more.show(True)

    def _remember(self) -> None:
        for name, made in self._all.items():
            if isinstance(made, ui.select):
                made.on_value_change(lambda event, name=name: _keep(name, event.value))
            elif made is not self.prompt:
                made.on("update:model-value", js_handler=kept_as(name))


def _keep(name: str, value: Any) -> None:
    ui.run_javascript(f"sfumato.keep({json.dumps(name)}, {json.dumps(value)})")


def seed_of(text: str | None) -> int | None:
    """The seed of what was typed; None for a random one. PromptError names the range."""
    text = (text or "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_SEED))):
        raise PromptError(f"Seed: a whole number from 0 to {LARGEST_SEED}, or nothing for a random one.")
    return int(text)


def _whole(label: str, value: float | None) -> int | None:
    """A whole number; PromptError for one with a part."""
    if value is None:
        return None
    if value != int(value):
        raise PromptError(f"{label}: a whole number, not {value:g}.")
    return int(value)
