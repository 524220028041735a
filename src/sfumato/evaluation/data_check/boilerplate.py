"""Captions that tell nothing: names of files and cameras, addresses, phrases of web pages; the same one everywhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from sfumato.data.entries import Entry

PICTURE_FILE = r"\.(jpe?g|png|gif|webp|bmp|tiff?|avif|heic|svg)"
RULES: tuple[tuple[str, str, float], ...] = (  # pattern of the whole caption, what it is, how bad
    (
        r"(img|imgp|image|dsc[nf]?|dscf|dcim|pict|pxl|gopr|mvimg|p|cimg|sam|dji|wp|vid|mov|scan|screenshot)"
        r"[-_ ]*[\d][-_ \d.():]*[a-z]?",
        "a camera's number",
        1.0,
    ),
    (r"_?(mg|dsc|img)_?\d{3,}", "a camera's number", 1.0),
    (r"(screen ?shot|whatsapp (image|photo)|signal|photo|image|scan) ?\d{4}[-_.]\d\d[-_.]\d\d.*", "a date", 1.0),
    (rf"\S*{PICTURE_FILE}(\?\S*)?", "a file's name", 1.0),
    (rf".*\w{PICTURE_FILE}", "a file's name", 0.9),
    (r"(https?://|www\.)\S+", "an address", 1.0),
    (r"[\w-]+(\.[\w-]+)*\.(com|net|org|de|co\.uk|io|ru|cn|jp|fr|info)(/\S*)?", "an address", 1.0),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a number without meaning", 1.0),
    (r"(?=\S*\d)(?=\S*[a-f])[0-9a-f]{12,}", "a number without meaning", 1.0),
    (r"(?=\S*\d\S*\d\S*\d)[a-z0-9]+([_-][a-z0-9]+){0,9}[_-]\d{5,}[a-z0-9_-]*", "a number without meaning", 0.9),
    (r"[\d\W_]{5,}", "a number without meaning", 0.9),
    (r"[\W_]+", "no words", 1.0),
    (
        r"(an? |the )?(image|img|photo|photos|photograph|picture|pic|pics|untitled|unnamed|unknown|default|thumbnail|"
        r"thumb|placeholder|null|none|nan|n/?a|undefined|caption|alt|alt text|alt tag|title|description|filename|file|"
        r"logo|banner|icon|avatar|spacer|blank|test|example|attachment|no (image|photo|picture|caption|description|"
        r"title)( available)?|image not (found|available)|product (image|photo|picture)|featured image|main image|"
        r"profile (picture|photo|image)|cover (photo|image)|stock (photo|image)|figure|fig|slide|page)"
        r"([-_ #.:]*\(?\d{1,4}\)?)?[.!:]*",
        "an empty phrase",
        1.0,
    ),
    (
        r".*\b(click (here|to|for|on)|tap to|enlarge (image|picture|photo)|(view|see) (larger|full|more|details)|"
        r"image may contain|may be an image of|all rights reserved|free shipping|add to cart|buy now|read more|"
        r"sign up (for|to|now)|(use|uses|accept|our) cookies|(enable|requires) javascript)\b.*",
        "a phrase of a web page",
        0.9,
    ),
    (r".*(https?://|www\.)\S+.*", "an address in it", 0.6),
)
PATTERNS = [(re.compile(pattern, re.IGNORECASE | re.DOTALL), told, score) for pattern, told, score in RULES]
LONGEST = 300  # characters that are looked at: no phrase is longer, and patterns stay quick
MANY, SHARE = 10, 0.002  # pictures, and share of all, under which a caption stands that is called repeated


def boilerplate(caption: str, name: str) -> tuple[str, float] | None:
    """What an empty caption is, and how bad, 0 to 1; None for one that may tell something.

    `name` is that of the picture: the name of its own file is no caption either, unless it is plain words.
    """
    text = caption.strip()[:LONGEST]
    for pattern, told, score in PATTERNS:
        if pattern.fullmatch(text):
            return told, score
    stem = PurePosixPath(name).stem
    if text.lower() == stem.lower() and re.search(r"[\d_]", text) and not text.isdecimal():
        return "the name of its file", 0.9
    return None


def repeated(entries: Sequence[Entry]) -> dict[str, int]:
    """Captions under many pictures, and how many. Pictures with a class are left out: there it is meant so."""
    counts = Counter(text for entry in entries if entry.label is None for text in entry.captions)
    least = max(MANY, SHARE * len(entries))
    return {text: count for text, count in counts.items() if count >= least}
