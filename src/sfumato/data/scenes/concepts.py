"""The things that scenes are made of: their names, what draws them and what they can do, from `concepts.tsv`."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sfumato.data.words import article, is_plural
from sfumato.errors import DataError

TABLE = Path(__file__).with_name("concepts.tsv")
COLUMNS = ("name", "plural", "emoji", "synonyms", "roles", "head", "eyes")
ROLES = frozenset({"wearer", "hat", "glasses", "holder", "held", "container", "contained", "mass"})

Anchor = tuple[float, float, float]


@dataclass(frozen=True)
class Concept:
    """A thing that can be drawn and named.

    Args:
        name: What it is called, lower case: "raccoon". No two concepts share a name, a plural or a synonym.
        plural: What several are called: "raccoons".
        synonyms: Its other names, of one: "racoon".
        emoji: The characters that draw it; empty for shapes.
        roles: What it can do in a scene. "wearer": a hat and glasses look right on it; "hat" and "glasses" are worn;
            "holder" may hold what is "held"; "container": an open vessel; "contained" fits into one; "mass": a name
            that is never counted and takes no article ("broccoli", "glasses").
        head: x, y and a width, in sides of the sprite's square. Of wearers: the middle of the top of the head, and how
            wide the head is for a hat. Of hats: where that very point comes to lie in the hat, and how wide a head
            the hat takes. Of containers: the middle of the opening, and how wide it is.
        eyes: Of wearers: x and y of the middle between the eyes, and the width of the glasses that fit.
    """

    name: str
    plural: str
    synonyms: tuple[str, ...] = ()
    emoji: str = ""
    roles: frozenset[str] = frozenset()
    head: Anchor | None = None
    eyes: Anchor | None = None

    @property
    def article(self) -> str:
        """Its indefinite article, by sound: "a" or "an"; empty where the name takes none ("broccoli", "glasses")."""
        bare = "mass" in self.roles or (self.name == self.plural and is_plural(self.name))
        return "" if bare else article(self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """All that one of it is called, its own name first."""
        return (self.name, *self.synonyms)


@functools.cache
def concepts() -> tuple[Concept, ...]:
    """All concepts that emoji draw, the best known and most delightful first: a small model takes the first few.

    Example:
        >>> cat = concepts()[0]
        >>> cat.article, cat.name, cat.plural, cat.synonyms, cat.emoji
        ('a', 'cat', 'cats', ('kitty', 'kitten'), '🐱')
    """
    return read_table(TABLE.read_text("utf-8"), TABLE.name)


def read_table(text: str, where: str) -> tuple[Concept, ...]:
    """The concepts of a table: a line each, `COLUMNS` divided by tabs, words by ", ", numbers by spaces.

    Args:
        text: The table, its first line the names of the columns.
        where: What it is called in errors.

    Raises:
        DataError: When a line is not a concept; it names the line.
    """
    header, *lines = text.splitlines() or [""]
    if tuple(header.split("\t")) != COLUMNS:
        raise DataError(f"{where} is no table of concepts: it must begin with the columns {', '.join(COLUMNS)}.")
    found = []
    for number, line in enumerate(lines, 2):
        try:
            found.append(_read(line))
        except ValueError as error:
            raise DataError(f"{where}, line {number}, is not a concept: {error}.") from error
    return tuple(found)


def write_table(concepts: Iterable[Concept]) -> str:
    """The table of these concepts, as `read_table` reads it."""
    rows = [
        (c.name, c.plural, c.emoji, ", ".join(c.synonyms), ", ".join(sorted(c.roles)), _cell(c.head), _cell(c.eyes))
        for c in concepts
    ]
    return "".join("\t".join(row) + "\n" for row in (COLUMNS, *rows))


def _read(line: str) -> Concept:
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        raise ValueError(f"it has {len(cells)} columns instead of {len(COLUMNS)}")
    name, plural, emoji, synonyms, roles, head, eyes = cells
    if not name or not plural:
        raise ValueError("it has no name or no plural")
    if unknown := set(_words(roles)) - ROLES:
        raise ValueError(f"its role {min(unknown)!r} is not one of {', '.join(sorted(ROLES))}")
    return Concept(name, plural, _words(synonyms), emoji, frozenset(_words(roles)), _anchor(head), _anchor(eyes))


def _words(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(", ")) if cell else ()


def _anchor(cell: str) -> Anchor | None:
    if not cell:
        return None
    x, y, width = map(float, cell.split())
    if not (-1 <= x <= 2 and -1 <= y <= 2 and 0 < width <= 4):
        raise ValueError(f"its anchor {cell} lies far off the sprite")
    return x, y, width


def _cell(anchor: Anchor | None) -> str:
    return " ".join(f"{value:g}" for value in anchor) if anchor else ""
