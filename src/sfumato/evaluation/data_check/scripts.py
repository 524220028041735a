"""In which letters captions are written: Latin, Cyrillic, Han; and those that stand out from the others."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

EAST_ASIAN = "EAST ASIAN"
TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"), EAST_ASIAN) | {"FULLWIDTH": "LATIN"}
SIGNS = frozenset(
    {"MATHEMATICAL", "MODIFIER", "FEMININE", "MASCULINE", "SCRIPT", "DOUBLE", "BLACK", "MICRO", "OHM", ""}
)
WORD = re.compile(r"[^\W\d_]+")
MAJORITY = 0.9  # of the captions, for a set to have a script of its own
FOREIGN = 0.5  # of a caption's letters


@cache
def script(letter: str) -> str | None:
    """The script of a letter, such as "LATIN"; None for what is no letter, or of no one script."""
    if not letter.isalpha():
        return None
    first = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    return None if first in SIGNS else TOGETHER.get(first, first)


def usual_script(captions: Iterable[str]) -> str | None:
    """The script in which at least nine tenths of the captions with letters are written; None if there is none."""
    counts: Counter[str] = Counter()
    for caption in captions:
        letters = Counter(filter(None, map(script, caption)))
        if letters:
            counts[letters.most_common(1)[0][0]] += 1
    if not counts:
        return None
    name, times = counts.most_common(1)[0]
    return name if times >= MAJORITY * counts.total() else None


def foreign(caption: str, usual: str | None) -> tuple[str, float] | None:
    """What is odd about the letters of a caption, and how bad, 0 to 1; None when nothing is.

    A word in two scripts is odd in any set, since it only looks like one; East Asian writing mixes them by nature.
    """
    for word in WORD.findall(caption):
        mixed = set(filter(None, map(script, word)))
        if len(mixed) > 1 and EAST_ASIAN not in mixed:
            return f"a word in letters of {' and '.join(sorted(one.title() for one in mixed))}", 0.6
    letters = Counter(filter(None, map(script, caption)))
    strange = {name: times for name, times in letters.items() if usual and name != usual}
    share = sum(strange.values()) / max(1, letters.total())
    if share < FOREIGN:
        return None
    most = max(strange, key=lambda name: strange[name])
    return f"{most.title()} letters, where nearly all captions have {str(usual).title()} ones", 0.3 + 0.4 * share
