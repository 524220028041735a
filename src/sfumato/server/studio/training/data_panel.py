"""The part of the page Train where data are chosen and looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nicegui import ui

from sfumato.errors import SfumatoError
from sfumato.server.studio.controls import button, choice, line
from sfumato.server.studio.layout import heading
from sfumato.server.studio.training.places import BUILT_IN, Places

if TYPE_CHECKING:
    from sfumato.server.studio.training.contents import Contents

FOLDER = "folder"  # the choice that is no built-in data
OFFERED = 12  # folders to press


class DataPanel:
    """The choice of data, and what is in them.

    Args:
        places: where they may lie.
        checks: the folder for reports of close looks.
        chosen: called with the data once they were looked at.
        report: the address of the report about data.
    """

    def __init__(
        self, places: Places, checks: Path, chosen: Callable[[str], None], report: Callable[[str], str]
    ) -> None:
        self._places, self._checks, self._chosen, self._report = places, checks, chosen, report
        with ui.element("section").classes("step"):
            heading("What it learns from")
            with ui.element("div").classes("fields wide"):
                self.kind = choice("Pictures with captions", {FOLDER: "a folder of my own", **BUILT_IN}, "digits")
                self.kind.on_value_change(self._kind_chosen)
                with ui.element("div") as self._field:
                    self.path = line("Folder or .tar file of captioned pictures", props="spellcheck=false")
                    self.path.on_value_change(self._typed).on("keydown.enter", self.look)
            self._offered = ui.element("div").classes("row small")
            with ui.element("div").classes("row"):
                self._button = button("Look at it", self.look)
                self._told = ui.label().props("role=status").classes("soft")
            self._trouble = ui.label().props("role=alert").classes("bad said")
            self._shown = ui.element("div").classes("contents")
        self._kind_chosen()

    @property
    def data(self) -> str:
        """What was chosen, as a training takes it; DataError when it cannot be."""
        return self._places.data(self.path.value or "" if self.kind.value == FOLDER else self.kind.value)

    async def look(self) -> None:
        """Tell what is in the data."""
        self._trouble.set_text("")
        self._shown.clear()
        self._button.disable()
        self._told.set_text("Looking …")
        try:
            from sfumato.server.studio.training.contents import contents

            data = self.data
            told = await asyncio.to_thread(contents, data)
        except SfumatoError as error:
            self._trouble.set_text(str(error))
            return
        finally:
            self._told.set_text("")
            self._button.enable()
        with self._shown:
            self._tell(data, told)
        self._chosen(data)

    def _kind_chosen(self) -> None:
        own = self.kind.value == FOLDER
        self._field.set_visibility(own)
        self._offered.set_visibility(own)
        self._shown.clear()
        if own and not self.path.value:
            self.path.value = f"{self._places.roots[-1].resolve()}/"

    async def _typed(self) -> None:
        typed = self.path.value or ""
        found = await asyncio.to_thread(self._places.completions, typed)
        self.path.set_autocomplete(found)
        self._offered.clear()
        with self._offered:
            for folder in found[:OFFERED]:
                button(
                    Path(folder).name or folder, lambda folder=folder: self._enter(folder), "quiet", f"Open {folder}"
                )

    def _enter(self, folder: str) -> None:
        self.path.value = f"{folder}/"

    # --- what is in it ------------------------------------------------------------------------------------------------

    def _tell(self, data: str, told: Contents) -> None:
        with ui.element("p"):
            ui.label(_sentence(told))
        with ui.element("ul").classes("examples"):
            for example in told.examples:
                with ui.element("li"):
                    image = ui.element("img")
                    image.props["src"], image.props["alt"] = example.address, ""
                    ui.label(example.caption).classes("small")
        for trouble in told.troubles:
            with ui.element("p").classes("small"):
                kind = "soft" if trouble.kept else "bad"
                ui.label(f"{trouble.count:,} {'used all the same' if trouble.kept else 'left out'}: {trouble.kind}")
                ui.label(", ".join(trouble.names) + (" …" if trouble.count > len(trouble.names) else "")).classes(kind)
        if data not in BUILT_IN:
            self._offer_closer(data)

    def _offer_closer(self, data: str) -> None:
        with ui.element("div").classes("row"):
            press = button("Check every picture", lambda: self._look_closely(data, press, told, shown))
            told = ui.label().props("role=status").classes("soft")
        shown = ui.element("div")

    async def _look_closely(self, data: str, press: ui.button, told: ui.label, shown: ui.element) -> None:
        from sfumato.server.studio.training.closer import folder_of, look_closely

        press.disable()
        told.set_text("Opening every picture; this takes minutes for thousands …")
        try:
            found = await look_closely(data, folder_of(self._checks, data))
        except SfumatoError as error:
            told.set_text(str(error))
            return
        finally:
            press.enable()
        told.set_text("" if found else "Nothing was found.")
        shown.clear()
        with shown:
            for each in found:
                with ui.element("p").classes("small"):
                    ui.label(f"{each.count:,} × {each.title}")
                    ui.label(each.meaning).classes("soft")
            if found:
                ui.link("The worst of them, with pictures", self._report(data), new_tab=True)


def _sentence(told: Contents) -> str:
    if not told.pictures:
        return (
            f"Pictures without end, composed as they are asked for; captions of {told.words:.0f} words that are true."
        )
    classes = f", {told.classes:,} classes" if told.classes else ""
    return (
        f"{told.pictures:,} pictures, {told.captions:,} captions ({told.different:,} different, "
        f"{told.words:.1f} words on average){classes}."
    )
