"""What stands beside the picture on the page Edit: for each way to change it the tools of that way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from sfumato.errors import PromptError
from sfumato.server.studio.controls import Fold, button, number, slider
from sfumato.server.studio.editing.boxes import Box, box_from, percent
from sfumato.server.studio.editing.easel import Easel
from sfumato.server.studio.editing.sheet import WAYS, Sheet, Way

SIDES = ("Left", "Above", "Right", "Below")
CORNERS = ("Left", "Top", "Right", "Bottom")
BRUSH = 10.0  # percent of the longer side


class Tools(ui.element):
    """The tools of a sheet; what is done with them is done to it, and shown on the easel.

    Args:
        sheet: what is edited.
        complain: called with what went wrong, or with "" when all is well.
    """

    def __init__(self, sheet: Sheet, complain: Callable[[str], None]) -> None:
        super().__init__("div")
        self.classes("tools")
        self._sheet, self._complain = sheet, complain
        self._easel: Easel | None = None
        self._brush, self._erase, self._chosen = BRUSH, False, -1
        with self:
            with ui.element("div").props('role=radiogroup aria-label="What is to change"') as ways:
                ui.label("What is to change").classes("label").props("aria-hidden=true")
                self._ways = {way: self._radio(way) for way in sheet.ways}
            ways.set_visibility(len(sheet.ways) > 1)
            self._panel = ui.element("div").classes("panel")

    def serve(self, easel: Easel) -> None:
        """Work on this easel from now on."""
        self._easel = easel
        self._choose(self._sheet.way)

    def _radio(self, way: Way) -> ui.element:
        with ui.element("label").classes("way"):
            made = ui.element("input").props(f"type=radio name=way value={way}")
            ui.label(WAYS[way]).classes("inline")
        made.on("change", lambda: self._choose(way))
        return made

    def _choose(self, way: Way) -> None:
        self._sheet.way = way
        for each, made in self._ways.items():
            made.props["checked"] = each == way
        assert self._easel
        self._easel.take({"part": "mask", "places": "boxes"}.get(way, "none"))  # type: ignore[arg-type]
        self._show_extension()
        self._panel.clear()
        with self._panel:
            {"all": self._all, "part": self._part, "around": self._around, "places": self._places}[way]()

    def _strength(self, label: str = "How much changes") -> None:
        def change(value: float) -> None:
            self._sheet.strengths[self._sheet.way] = value / 100

        slider(label, round(100 * self._sheet.strengths[self._sheet.way]), change, least=5)

    def _all(self) -> None:
        self._strength()

    # --- a part -------------------------------------------------------------------------------------------------------

    def _part(self) -> None:
        self._told = ui.label().classes("soft small").props("role=status")
        slider("Brush", self._brush, self._take_brush, least=1, most=40)
        with ui.element("div").classes("row"):
            self._eraser = button("Erase", self._turn_brush)
            self._eraser.props["aria-pressed"] = "false"
            self._undo = button("Undo", lambda: self._changed(self._sheet.mask.undo))
            button("Clear", lambda: self._changed(self._sheet.mask.clear))
            button("Invert", lambda: self._changed(self._sheet.mask.turn_round))
        self._rectangles()
        self._strength("How much changes there")
        self._erase = False
        self._take_brush(self._brush)
        self._tell_mask()

    def painted(self, drawn: Any) -> None:
        """Take over what was painted on the easel."""
        if self._sheet.way != "part":  # it came late
            return
        try:
            self._sheet.mask.paint(drawn)
            self._complain("")
        except PromptError as error:
            self._complain(str(error))
            self._show_mask()
        self._tell_mask()

    def _take_brush(self, size: float) -> None:
        assert self._easel
        self._brush = size
        self._easel.brush(size / 100, erase=self._erase)

    def _turn_brush(self) -> None:
        self._erase = not self._erase
        self._eraser.props["aria-pressed"] = str(self._erase).lower()
        self._take_brush(self._brush)

    def _rectangles(self) -> None:
        with Fold("A rectangle by numbers").inside().classes("four"):
            corners = _corners()
            with ui.element("div").classes("row"):
                button("Add", lambda: self._rectangle(corners, False), label="Add the rectangle")
                button("Take away", lambda: self._rectangle(corners, True), label="Take the rectangle away")

    def _rectangle(self, corners: list[ui.number], take_away: bool) -> None:
        try:
            box = percent([each.value for each in corners])
        except PromptError as error:
            self._complain(str(error))
            return
        self._changed(lambda: self._sheet.mask.rectangle(box, take_away=take_away))

    def _changed(self, change: Callable[[], None]) -> None:
        self._complain("")
        change()
        self._show_mask()
        self._tell_mask()

    def _show_mask(self) -> None:
        assert self._easel
        self._easel.show(self._sheet.mask)

    def _tell_mask(self) -> None:
        assert self._easel
        mask = self._sheet.mask
        self._easel.tell(mask)
        self._undo.set_enabled(mask.can_undo)
        share = f"{mask.share:.0%} of the picture is to change." if mask.share else "Paint over what is to change."
        self._told.set_text(share)

    # --- around -------------------------------------------------------------------------------------------------------

    def _around(self) -> None:
        unit = self._sheet.unit
        with ui.element("div").classes("fields four"):
            for side, name in enumerate(SIDES):
                made = number(f"{name}, pixels", 0, 4 * max(self._sheet.size), "0", unit)
                made.value = self._sheet.extend[side] or None
                made.on_value_change(lambda event, side=side: self._extend_by(side, event.value))
        self._whole = ui.label().classes("soft small").props("role=status")
        self._tell_whole()

    def _extend_by(self, side: int, pixels: float | None) -> None:
        self._sheet.extend_by(side, min(pixels or 0, 4 * max(self._sheet.size)))
        self._show_extension()
        self._tell_whole()

    def _show_extension(self) -> None:
        assert self._easel
        left, top, right, bottom = self._sheet.extend if self._sheet.way == "around" else (0, 0, 0, 0)
        width, height = self._sheet.size
        self._easel.extend((left / width, top / height, right / width, bottom / height))

    def _tell_whole(self) -> None:
        whole = "{} × {}".format(*self._sheet.whole)
        self._whole.set_text(f"It becomes {whole} pixels; sides grow by multiples of {self._sheet.unit}.")

    # --- places -------------------------------------------------------------------------------------------------------

    def _places(self) -> None:
        ui.label("Draw a box on the picture, and say what is to be in it.").classes("soft small")
        self._list = ui.element("ol").classes("boxes").props('aria-label="Boxes"')
        with Fold("A box by numbers").inside().classes("four"):
            self._corners = _corners()
            with ui.element("div").classes("row"):
                button("Add", lambda: self._by_numbers(new=True), label="Add the box")
                button("Move the chosen one", lambda: self._by_numbers(new=False))
        if self._sheet.picture:
            self._strength("How much the picture below changes")
        self._show_boxes()

    def drawn(self, values: Any) -> None:
        """Take over a box that was drawn on the easel."""
        if self._sheet.way == "places":
            self._add(lambda: box_from(values))

    def changed(self, place: Any, values: Any) -> None:
        """Take over what became of a box."""
        if self._is_box(place) and isinstance(values, dict):
            boxes = self._sheet.boxes
            try:
                boxes.put(place, box_from({**values, "words": boxes[place].words}))
            except PromptError as error:
                self._complain(str(error))
            self._chosen = place
            self._show_boxes(anew=False)

    def removed(self, place: Any) -> None:
        """One box less."""
        if self._is_box(place):
            self._sheet.boxes.remove(place)
            self._chosen = -1
            self._show_boxes()

    def chosen(self, place: Any) -> None:
        """Show where a box is in numbers."""
        if self._is_box(place):
            self._chosen = place
            self._show_boxes(anew=False)

    def _is_box(self, place: Any) -> bool:
        is_number = isinstance(place, int) and not isinstance(place, bool)
        return self._sheet.way == "places" and is_number and 0 <= place < len(self._sheet.boxes)

    def _add(self, make: Callable[[], Box]) -> None:
        try:
            self._chosen = self._sheet.boxes.add(make())
            self._complain("")
        except PromptError as error:
            self._complain(str(error))
        self._show_boxes(focus=True)

    def _by_numbers(self, *, new: bool) -> None:
        values = [each.value for each in self._corners]
        if new:
            self._add(lambda: percent(values))
        elif self._is_box(self._chosen):
            try:
                box = percent(values, self._sheet.boxes[self._chosen].words)
                self._sheet.boxes.put(self._chosen, box)
                self._complain("")
            except PromptError as error:
                self._complain(str(error))
            self._show_boxes()
        else:
            self._complain("Choose a box first.")

    def _show_boxes(self, *, anew: bool = True, focus: bool = False) -> None:
        """Show the boxes on the easel and in the list, whose fields are made anew unless only their places changed."""
        assert self._easel
        boxes = self._sheet.boxes
        self._easel.place(boxes, self._chosen)
        if self._is_box(self._chosen):
            box = boxes[self._chosen]
            for made, side in zip(self._corners, (box.left, box.top, box.right, box.bottom), strict=True):
                made.value = round(100 * side)
        if anew:
            self._list.clear()
            with self._list:
                self._fields = [self._item(place, box) for place, box in enumerate(boxes)]
            if focus and self._fields:
                self._fields[-1].run_method("focus")
        for place, field in enumerate(self._fields):
            field.props["aria-label"] = f"What is to be in box {place + 1}, {boxes[place].place}"

    def _item(self, place: int, box: Box) -> ui.input:
        with ui.element("li").classes("row"):
            made = ui.input(value=box.words, placeholder="what is to be in it").props("outlined dense")
            made.on_value_change(lambda event: self._say(place, event.value))
            made.on("focus", lambda: self.chosen(place))
            button("Remove", lambda: self.removed(place), "quiet", f"Remove box {place + 1}")
        return made

    def _say(self, place: int, text: str | None) -> None:
        assert self._easel
        self._sheet.boxes.say(place, text or "")
        self._easel.place(self._sheet.boxes, self._chosen)


def _corners() -> list[ui.number]:
    return [number(f"{name}, %", 0, 100) for name in CORNERS]
