"""Letters that were read in the wrong alphabet, and signs of web pages left in a text."""

from __future__ import annotations

import re
from html import unescape
from typing import NamedTuple

# What UTF-8 looks like when it is read as Windows-1252: a letter that begins a sequence and one that goes on with it.
HIGH = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
MOJIBAKE = re.compile(f"[ÂÃÄÅÐÑ]{HIGH}|[àáâãäåæçèéêëìíîï]{HIGH}{HIGH}|ðŸ{HIGH}{HIGH}|ï»¿")
ENTITY = re.compile(r"&(#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8}\d{0,2});", re.IGNORECASE)
TAG = re.compile(r"</?[a-z][a-z0-9]{0,9}(\s[^<>]{0,200})?/?>", re.IGNORECASE)
REPLACEMENT = "\ufffd"
ROUNDS = 3  # texts are spoiled more than once

UNDEFINED = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})  # in Windows-1252; read as control characters


class Damage(NamedTuple):
    """What is wrong with a text, how bad from 0 to 1, and what it should be if that is certain."""

    reason: str
    score: float
    repaired: str | None


def damage(text: str) -> Damage | None:
    """What is wrong with the letters of a text; None when nothing is.

    Example:
        >>> damage("a cafÃ© in MÃ¼nchen")
        Damage(reason='UTF-8 read as another alphabet', score=0.8, repaired='a café in München')
        >>> damage("salt &amp; pepper").repaired
        'salt & pepper'
    """
    if MOJIBAKE.search(text):
        repaired = unspoilt(text)
        return Damage("UTF-8 read as another alphabet", 0.8, repaired if repaired != text else None)
    if REPLACEMENT in text:
        return Damage("unreadable letters", 0.9, None)
    if ENTITY.search(text):
        repaired = " ".join(ENTITY.sub(lambda code: unescape(code[0]), text).split())
        return Damage("codes of a web page", 0.4, repaired if repaired != text else None)
    if TAG.search(text):
        return Damage("tags of a web page", 0.5, None)
    return None


def unspoilt(text: str) -> str:
    """The text read anew as UTF-8, as often as that is possible without a doubt; itself when it is not."""
    for _ in range(ROUNDS):
        if not MOJIBAKE.search(text):
            break
        try:
            again = b"".join(_byte(letter) for letter in text).decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            break
        text = again
    return text.removeprefix("\ufeff")


def _byte(letter: str) -> bytes:
    """What a letter was before it was read as Windows-1252, or Latin-1 where that leaves a gap."""
    return bytes([ord(letter)]) if ord(letter) in UNDEFINED else letter.encode("cp1252")
