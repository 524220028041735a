"""Pictures that steer a model besides the words, each with the network that understands it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from sfumato.errors import PromptError
from sfumato.pipelines.given import Given

MOST_HINTS = 8  # of a kind
MOST_PICTURES = 16  # for one adapter
STRONGEST = 10.0


@dataclass(frozen=True)
class Control:
    """A picture of what is to be where: edges, depths, poses ... as the network was trained with.

    Attributes:
        network: the folder of a ControlNet or a T2I-Adapter.
        picture: it is brought to the size of the picture that is made, its middle cut out.
        scale: how much of the correction is wanted; 1 as in training.
        start, end: between which parts of the steps it corrects, 0 to 1.
        guess: correct what the prompt makes, and not what is gone away from; for a ControlNet and few words.
        fingerprint: of the network's files; "" takes any, but not in the recipe of a picture.
    """

    network: str
    picture: Given
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    guess: bool = False
    fingerprint: str = ""

    def __post_init__(self) -> None:
        """Raises PromptError naming what is wrong."""
        object.__setattr__(self, "network", whole_path(self.network, "network of a control"))
        object.__setattr__(self, "picture", Given.of(self.picture))
        require_number("scale of a control", self.scale, -STRONGEST, STRONGEST)
        require_number("start of a control", self.start, 0, 1)
        require_number("end of a control", self.end, 0, 1)
        if not self.start < self.end:
            raise PromptError(f"A control starts before it ends, not at {self.start:g} when it ends at {self.end:g}.")
        if not isinstance(self.guess, bool):
            raise PromptError(f"guess of a control is true or false, not {self.guess!r:.100}.")
        require_fingerprint(self.fingerprint)


@dataclass(frozen=True)
class Like:
    """Pictures that the one to be made is like, in what it shows and how.

    Attributes:
        adapter: the file of an IP-Adapter.
        pictures: one, or several that are seen side by side; squares are seen whole, of others the middle.
        scale: how much of them is wanted, 1 as in training; or different ones for parts of the U-Net, by the beginnings
            of the names of its cross-attentions.
        encoder: the folder of the image encoder; by default the model's own, or else the one beside the adapter.
        fingerprint: of the files; "" takes any, but not in the recipe of a picture.
    """

    adapter: str
    pictures: tuple[Given, ...]
    scale: float | Mapping[str, float] = 1.0
    encoder: str | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        """Raises PromptError naming what is wrong."""
        object.__setattr__(self, "adapter", whole_path(self.adapter, "adapter"))
        if self.encoder is not None:
            object.__setattr__(self, "encoder", whole_path(self.encoder, "encoder of an adapter"))
        pictures = self.pictures if isinstance(self.pictures, list | tuple) else (self.pictures,)
        if not 1 <= len(pictures) <= MOST_PICTURES:
            raise PromptError(f"An adapter takes 1 to {MOST_PICTURES} pictures, not {len(pictures)}.")
        object.__setattr__(self, "pictures", tuple(Given.of(picture) for picture in pictures))
        parts = self.scale if isinstance(self.scale, Mapping) else {"": self.scale}
        if not parts or not all(isinstance(name, str) for name in parts):
            raise PromptError("The scales of an adapter are a table from names of cross-attentions to numbers.")
        for name, scale in parts.items():
            require_number(f"scale of an adapter{name and f' for {name:.100}'}", scale, -STRONGEST, STRONGEST)
        require_fingerprint(self.fingerprint)


Hint = TypeVar("Hint", Control, Like)


def hints_of(kind: type[Hint], name: str, values: Any) -> tuple[Hint, ...]:
    """The hints of a request's setting `name`, from values or from a recipe; PromptError when they are none."""
    if not isinstance(values, list | tuple) or len(values) > MOST_HINTS:
        raise PromptError(f"{name} is a list of at most {MOST_HINTS}, not {values!r:.100}.")
    return tuple(value if isinstance(value, kind) else _hint(kind, name, value) for value in values)


def _hint(kind: type[Hint], name: str, value: Any) -> Hint:
    known = [field.name for field in fields(kind)]
    if not isinstance(value, Mapping) or not set(value) <= set(known) or not set(known[:2]) <= set(value):
        raise PromptError(f"Each {name} is a table of {', '.join(known)}; the first two are needed.")
    return kind(**value)


def require_identified(hints: Sequence[Control | Like]) -> None:
    """Refuse hints of a recipe that do not tell which network they were made with: PromptError naming it."""
    for hint in hints:
        if not hint.fingerprint:
            name = hint.network if isinstance(hint, Control) else hint.adapter
            raise PromptError(
                f"The recipe does not tell the fingerprint of {name}: whether that is still the network that its "
                "picture was made with cannot be known. Ask for the picture anew instead."
            )


def whole_path(value: Any, name: str) -> str:
    """A path from the root, so that a recipe holds anywhere; PromptError when it is none."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise PromptError(f"The {name} is the path of one, not {value!r:.100}.")
    return str(Path(value).absolute())


def is_number(value: Any) -> bool:
    """Whether it is a number of a usual size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e9


def require_number(name: str, value: Any, least: float, most: float) -> None:
    """Refuse what is no number from `least` to `most`: PromptError naming it."""
    if not is_number(value) or not least <= value <= most:
        raise PromptError(f"{name} is a number from {least:g} to {most:g}, not {value!r:.100}.")


def require_fingerprint(value: Any) -> None:
    """Refuse what is neither empty nor 16 hex digits: PromptError."""
    if not isinstance(value, str) or not re.fullmatch(r"(?:[0-9a-f]{16})?", value):
        raise PromptError(f"A fingerprint is 16 hex digits, not {value!r:.100}.")
