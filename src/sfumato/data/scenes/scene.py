"""A scene: which things are seen, where, how large and in what colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfumato.data.scenes.description import Description


@dataclass(frozen=True)
class Thing:
    """One sprite in a scene.

    Args:
        concept: Its number in the pack.
        x: Its middle, in picture sides from the left edge, 0 to 1.
        y: Its middle, in picture sides from the top edge, 0 to 1.
        size: The longer side of what is seen of it, in picture sides.
        colour: One of `colours.TINTS`, or None for its own colours.
        upside_down: Whether it stands on its head.
    """

    concept: int
    x: float
    y: float
    size: float
    colour: str | None = None
    upside_down: bool = False


@dataclass(frozen=True)
class Scene:
    """Things before a background, painted in their order: later ones stand in front.

    Args:
        background: One of `colours.BACKGROUNDS`.
        things: What is seen, from the back to the front.
        description: What may be said of it; None where nobody asks.
    """

    background: str
    things: tuple[Thing, ...] = ()
    description: Description | None = None
