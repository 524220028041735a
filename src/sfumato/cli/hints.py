"""What people type for pictures that steer: NETWORK=PICTURE, and how."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sfumato.errors import PromptError

CONTROL = re.compile(r"(?P<rest>.+?)(?::(?P<scale>-?[\d.]+))?(?::(?P<start>[\d.]+)-(?P<end>[\d.]+))?(?P<guess>:guess)?")
LIKE = re.compile(r"(?P<rest>.+?)(?::(?P<scale>-?[\d.]+))?")


def control(text: str) -> dict[str, Any]:
    """A control of a request: "FOLDER=PICTURE", then if wanted ":SCALE", ":START-END" and ":guess".

    Raises PromptError when it is none.
    """
    network, picture, how = _parts("--control", text, CONTROL)
    settings = {name: _number("--control", text, how[name]) for name in ("scale", "start", "end") if how.get(name)}
    guess = {"guess": True} if how.get("guess") else {}
    return {"network": network, "picture": picture, **settings, **guess}


def like(text: str) -> dict[str, Any]:
    """Pictures to be like, of a request: "ADAPTER=PICTURE", then if wanted ":SCALE"; PromptError when it is none."""
    adapter, picture, how = _parts("--like", text, LIKE)
    scale = {"scale": _number("--like", text, how["scale"])} if how.get("scale") else {}
    return {"adapter": adapter, "pictures": [picture], **scale}


def _parts(option: str, text: str, pattern: re.Pattern[str]) -> tuple[str, str, dict[str, str | None]]:
    """The network, the picture and the rest; an equals sign or a colon may be a path's own, if there is such a path."""
    signs = [match.start() for match in re.finditer("=", text) if 0 < match.start() < len(text) - 1]
    if not signs:
        raise PromptError(f'{option} takes a network and its picture such as "folder=picture.png:0.8", not {text!r}.')
    at = next((sign for sign in signs if Path(text[:sign]).exists()), signs[0])
    network, picture = text[:at], text[at + 1 :]
    match = pattern.fullmatch(picture)
    if match is None or Path(picture).is_file():
        return network, picture, {}
    return network, match["rest"], match.groupdict()


def _number(option: str, text: str, number: str | None) -> float:
    try:
        return float(number or "")
    except ValueError:
        raise PromptError(f"{option} {text}: {number!r} is no number.") from None
