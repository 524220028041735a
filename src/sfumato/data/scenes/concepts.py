"""The things that scenes are made of: their names, what draws them and what they can do, from `concepts.tsv`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from sfumato.data.words import article, is_plural

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
        head: For wearers: x and y of the middle of the top of the head, and the head's width there, in sides of the
            sprite's square.
        eyes: For wearers: x and y of the middle between the eyes, and the width that glasses want.
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
        """"a" or "an", by sound; empty where the name takes none ("broccoli", "scissors")."""
        bare = "mass" in self.roles or (self.name == self.plural and is_plural(self.name))
        return "" if bare else article(self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """All that one of it is called, its own name first."""
        return (self.name, *self.synonyms)


@functools.cache
def concepts() -> tuple[Concept, ...]:
    """All concepts of the table, the best known and most delightful first: a small model takes the first few."""
    header, *lines = TABLE.read_text("utf-8").splitlines()
    assert tuple(header.split("\t")) == COLUMNS, header
    return tuple(_read(line) for line in lines)


def _read(line: str) -> Concept:
    name, plural, emoji, synonyms, roles, head, eyes = line.split("\t")
    return Concept(name, plural, _words(synonyms), emoji, frozenset(_words(roles)), _anchor(head), _anchor(eyes))


def _words(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(", ")) if cell else ()


def _anchor(cell: str) -> Anchor | None:
    if not cell:
        return None
    x, y, width = map(float, cell.split())
    return x, y, width
