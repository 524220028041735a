"""Words that mean nothing here, so that a text encoder learns to pass over those that it does not know."""

from __future__ import annotations

import random

ONSETS = ("b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pl", "qu", "r",
          "s", "sh", "st", "t", "th", "tr", "v", "w", "y", "z")  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "oo", "ou")
CODAS = ("", "", "n", "r", "s", "t", "ck", "ing", "er", "ed", "ly")
LONGEST = 3  # syllables


def stranger(rng: random.Random) -> str:
    """A word that nobody knows, of one to three syllables, such as "flaidro"."""
    syllables = (rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.randint(1, LONGEST)))
    return "".join(syllables) + rng.choice(CODAS)


def with_stranger(text: str, rng: random.Random) -> str:
    """The text with one such word between two of its own, or at an end."""
    words = text.split(" ")
    words.insert(rng.randint(0, len(words)), stranger(rng))
    return " ".join(words)
