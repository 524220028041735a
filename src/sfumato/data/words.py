"""A little English: articles and plurals, for captions made from the names of folders and digits."""

import re

# Words whose first letter misleads about their first sound, by how they begin.
CONSONANT_SOUND = re.compile(r"(uni(?!n|m)|us[aeiu]|ute|uku|ufo|ura|uro|eu|ewe|one\b|once)")
VOWEL_SOUND = re.compile(r"(hour|honest|honou?r|heir|suv\b|8|11\b|18\b|[fhlmnrsx](\b|-))")

PLURALS = frozenset(
    {"people", "men", "women", "children", "mice", "geese", "feet", "teeth", "skis", "menus", "bikinis", "taxis"}
)
SINGULARS_IN_S = frozenset(
    {"gas", "canvas", "christmas", "atlas", "rhinoceros", "chaos", "cosmos", "thermos", "lens", "news", "series"}
    | {"species", "mathematics", "physics"}
)


def article(words: str) -> str:
    """The indefinite article for a phrase, by sound.

    Example:
        >>> article("dress"), article("ankle boot"), article("8"), article("uniform"), article("hour glass")
        ('a', 'an', 'an', 'a', 'an')
    """
    words = words.lower()
    if CONSONANT_SOUND.match(words):
        return "a"
    return "an" if words[:1] in tuple("aeiou") or VOWEL_SOUND.match(words) else "a"


def is_plural(words: str) -> bool:
    """Whether a phrase names several things, judged by its last word.

    Example:
        >>> [is_plural(w) for w in ("dress", "red dresses", "bus", "jeans", "women", "iris")]
        [False, True, False, True, True, False]
    """
    last = words.lower().rpartition(" ")[2]
    if last in PLURALS:
        return True
    return last.endswith("s") and not last.endswith(("ss", "us", "is")) and last not in SINGULARS_IN_S and len(last) > 2


def with_article(words: str) -> str:
    """The phrase as it stands in a sentence: "a dress", "an apple", "jeans"."""
    return words if is_plural(words) else f"{article(words)} {words}"
