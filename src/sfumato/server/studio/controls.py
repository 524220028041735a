"""Buttons, fields and bars as all pages have them: quiet, labelled, reachable by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

KINDS = ("main", "plain", "quiet")


def button(text: str, press: Callable[..., Any], kind: str = "plain", label: str | None = None) -> ui.button:
    """A button of one of `KINDS`: what the page is for, what else can be done, or a mere link.

    `label` is what a screen reader says where the text alone is not clear.
    """
    made = ui.button(text, on_click=press, color=None).props("unelevated no-caps :ripple=false").classes(kind)
    if label:
        made.props["aria-label"] = label
    return made


def words(tag: str, text: str) -> TextElement:
    """A plain element of HTML with a text: a heading, a paragraph, a summary."""
    return TextElement(tag=tag, text=text)


def number(label: str, least: float, most: float, hint: str = "", step: float = 1) -> ui.number:
    """A number that may be left empty, with `hint` in its place: what happens then. Its width is its own."""
    with field(label):
        made = ui.number(min=least, max=most, step=step, placeholder=hint).props("outlined dense")
    made.props["aria-label"] = label
    return made


def line(label: str, hint: str = "", props: str = "") -> ui.input:
    """A short text, with `hint` where it is empty."""
    with field(label):
        made = ui.input(placeholder=hint).props(f"outlined dense {props}")
    made.props["aria-label"] = label
    return made


def choice(label: str, names: list[str] | dict[Any, str], value: Any) -> ui.select:
    """One of several."""
    with field(label):
        made = ui.select(names, value=value).props("outlined dense options-dense")
    made.props["aria-label"] = label
    return made


def slider(
    label: str, value: float, changed: Callable[[float], Any], least: float = 0, most: float = 100, unit: str = " %"
) -> ui.element:
    """A number that is dragged, with its value beside it."""
    with ui.element("label").classes("field slider"):
        with ui.element("span").classes("row between label"):
            words("span", label)
            shown = words("span", f"{value:g}{unit}")
        made = ui.element("input").props(f"type=range min={least:g} max={most:g} step=1 value={value:g}")
    made.props["aria-label"] = label

    def change(new: Any) -> None:
        if isinstance(new, int | float) and least <= new <= most:
            shown.set_text(f"{new:g}{unit}")
            changed(float(new))

    made.on("input", lambda event: change(event.args), js_handler="(event) => emit(+event.target.value)", throttle=0.1)
    return made


@contextmanager
def field(label: str) -> Iterator[ui.element]:
    """A label above what is built inside, which says the label itself to screen readers."""
    with ui.element("div").classes("field") as whole:
        ui.label(label).classes("label").props("aria-hidden=true")
        yield whole


class Fold:
    """A button, and under it what it shows and hides; `inside` is to be filled where it is to stand.

    Example:
        >>> with ui.element("div").classes("row"):                              # doctest: +SKIP
        ...     fold = Fold("More")
        ... with fold.inside():
        ...     number("Steps", 1, 100)
    """

    def __init__(self, text: str) -> None:
        self._button = button(text, lambda: self.show(not self._inside.visible), "quiet").classes("more")

    def inside(self) -> ui.element:
        """What is hidden until the button is pressed."""
        self._inside = ui.element("div").classes("fields")
        self._button.props["aria-controls"] = self._inside.html_id
        self.show(False)
        return self._inside

    def show(self, shown: bool) -> None:
        """Show or hide it."""
        self._inside.set_visibility(shown)
        self._button.props["aria-expanded"] = "true" if shown else "false"


class Bar(ui.element):
    """How far something is, 0 to 1, drawn and told."""

    def __init__(self, label: str) -> None:
        super().__init__("div")
        self.classes("bar").props("role=progressbar aria-valuemin=0 aria-valuemax=100")
        self.props["aria-label"] = label
        with self:
            self._drawn = ui.element("div")
        self.show(0)

    def show(self, share: float) -> None:
        """Move to a share of the whole."""
        percent = round(100 * min(max(share, 0), 1))
        self.props(f"aria-valuenow={percent}")
        self._drawn.style(f"width: {percent}%")
