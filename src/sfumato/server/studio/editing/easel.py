"""The picture in the middle of the page Edit: painted on, and drawn on, with mouse, pen, finger or keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from nicegui import ui

from sfumato.server.studio.editing.boxes import Box
from sfumato.server.studio.editing.mask import Mask

Tool = Literal["none", "mask", "boxes"]

UNEXTENDED = (0.0, 0.0, 0.0, 0.0)


class Easel(ui.element, component="easel.js"):
    """A picture with a mask and boxes over it. It shows what it is told, and tells what a person does.

    Args:
        source: address of the picture; "" for an empty one.
        described: the picture in words.
        mask: what is painted anew; its shape is the picture's.
        painted: called with the mask as it was painted, a data address.
        drawn: called with a new box, as the browser sends it.
        changed: called with the number of a box, and what became of it.
        removed, chosen: called with the number of a box.
    """

    def __init__(
        self,
        source: str,
        described: str,
        mask: Mask,
        *,
        painted: Callable[[Any], Any],
        drawn: Callable[[Any], Any],
        changed: Callable[[Any, Any], Any],
        removed: Callable[[Any], Any],
        chosen: Callable[[Any], Any],
    ) -> None:
        super().__init__()
        told: dict[str, Any] = {
            "src": source,
            "described": described,
            "size": list(mask.size),
            "extend": list(UNEXTENDED),
            "tool": "none",
            "brush": 0.1,
            "erase": False,
            "mask": mask.address if mask.share else "",
            "boxes": [],
            "chosen": -1,
            "heard": 0,
        }
        self.props.update(told)
        self.tell(mask)
        self.on("painted", lambda event: painted(event.args))
        self.on("drawn", lambda event: drawn(event.args))
        self.on("changed", lambda event: self._hear(changed, event.args))
        self.on("removed", lambda event: removed(event.args))
        self.on("chosen", lambda event: chosen(event.args))

    def take(self, tool: Tool) -> None:
        """Paint, draw boxes, or only look."""
        self._set("tool", tool)

    def brush(self, size: float, *, erase: bool) -> None:
        """Paint with a brush of this diameter, a part of the longer side; or take away with it."""
        self._set("brush", size)
        self._set("erase", erase)

    def extend(self, sides: Sequence[float]) -> None:
        """Show what is added left, above, right and below, in parts of the picture's sides."""
        self._set("extend", list(sides))

    def place(self, boxes: Sequence[Box], chosen: int) -> None:
        """Show these boxes."""
        self._set("boxes", [box.to_dict() for box in boxes])
        self._set("chosen", chosen)

    def show(self, mask: Mask) -> None:
        """Show another mask than the one that was painted here."""
        self.tell(mask)
        self.run_method("show", mask.address)

    def tell(self, mask: Mask) -> None:
        """Say the mask in words."""
        self._set("told", f"{mask.share:.0%} of the picture is to be painted anew")

    def _hear(self, changed: Callable[[Any, Any], Any], told: Any) -> None:
        changed(*_pair(told))
        self._set("heard", self.props["heard"] + 1)

    def _set(self, name: str, value: Any) -> None:
        self.props[name] = value
        self.update()


def _pair(told: Any) -> tuple[Any, Any]:
    """The number and the box of what a browser tells, which may be anything."""
    return (told.get("number"), told.get("box")) if isinstance(told, dict) else (None, None)
