"""What became of a picture: before and after, one over the other, and what to do with it next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from sfumato.server.studio.controls import button
from sfumato.server.studio.pictures import Picture

COMPARE = "(event) => event.target.closest('.compare').style.setProperty('--at', event.target.value + '%')"


class Outcome(ui.element):
    """A finished picture, with the one that it was made from where there is one.

    Args:
        picture: what was made.
        before: the address of what it was made from, of the same shape; "" where it was made from words alone.
        size: width and height in pixels.
        go_on: called when the result is to be edited on.
    """

    def __init__(
        self,
        picture: Picture,
        before: str,
        size: tuple[int, int],
        go_on: Callable[[Picture], Awaitable[None]],
    ) -> None:
        super().__init__("section")
        self.classes("outcome").props('aria-label="What became of it"')
        with self:
            with ui.element("div").classes("compare").style(f"--ratio: {size[0]} / {size[1]}"):
                after = ui.element("img")
                after.props["src"], after.props["alt"] = picture.url, f"After: {picture.prompt}"
                if before:
                    self._compare(before)
            button("Go on with this one", lambda: go_on(picture), "main")

    def _compare(self, before: str) -> None:
        image = ui.element("img").classes("before")
        image.props["src"], image.props["alt"] = before, "Before"
        ui.label("before").classes("tag left").props("aria-hidden=true")
        ui.label("after").classes("tag right").props("aria-hidden=true")
        slide = ui.element("input").props("type=range min=0 max=100 step=1 value=50")
        slide.props["aria-label"] = "How much is shown of the picture before, from the left"
        slide.on("input", js_handler=COMPARE)
