"""A grammar of templates: the very texts that sentences are made from, read backwards.

Every symbol has its templates in one tree, in which templates that begin alike share their beginning. A text is read
along these trees from left to right; where it can be read in several ways, all of them are found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s'’-]|_")
HOLE = re.compile(r"{(\w+)}")
END = ""  # the token after the last one

Make = Callable[[dict[str, Any]], Any]


class Token(NamedTuple):
    """A word in lower case, or a sign.

    Args:
        text: How it is written; apostrophes are straight.
        start: Where it begins in the text, in characters.
    """

    text: str
    start: int


class Misfit(ValueError):
    """What words say together cannot be; the message says why."""


class Production(NamedTuple):
    """One way to say something.

    Args:
        symbol: What is said: "thing".
        template: How: "{colour} {a}". No template is empty or begins with its own symbol.
        holes: What stands in each hole: {"colour": "colour", "a": "noun"}.
        make: What it means, from what is in its holes, by their names; raises `Misfit` where it cannot be meant.
    """

    symbol: str
    template: str
    holes: Mapping[str, str]
    make: Make


@dataclass(slots=True)
class _Branch:
    """A place in a tree of templates: what may come next, and what ends here."""

    words: dict[str, _Branch] = field(default_factory=dict)
    symbols: dict[str, _Branch] = field(default_factory=dict)
    ends: list[tuple[tuple[str, ...], Make]] = field(default_factory=list)


def tokens(text: str) -> list[Token]:
    """The words and signs of a text; spaces and hyphens separate words and are none themselves.

    Example:
        >>> [token.text for token in tokens("An Upside-down t-shirt: 5%")]
        ['an', 'upside', 'down', 't', 'shirt', ':', '5', '%']
    """
    return [Token(found[0].lower().replace("’", "'"), found.start()) for found in TOKEN.finditer(text)]


class Grammar:
    """All that can be said, by its productions."""

    def __init__(self, productions: Iterable[Production]) -> None:
        self._trees: dict[str, _Branch] = {}
        self.words: set[str] = set()
        for production in productions:
            self._plant(production)
        self._openings = self._find_openings()

    def _plant(self, production: Production) -> None:
        branch = self._trees.setdefault(production.symbol, _Branch())
        names = []
        for number, piece in enumerate(HOLE.split(production.template)):
            if number % 2:
                names.append(piece)
                branch = branch.symbols.setdefault(production.holes[piece], _Branch())
                continue
            for word, _ in tokens(piece):
                self.words.add(word)
                branch = branch.words.setdefault(word, _Branch())
        branch.ends.append((tuple(names), production.make))

    def _find_openings(self) -> dict[str, frozenset[str]]:
        """The words with which each symbol can begin."""
        openings: dict[str, frozenset[str]] = dict.fromkeys(self._trees, frozenset())
        while True:
            wider = {
                symbol: frozenset(tree.words).union(*(openings[first] for first in tree.symbols))
                for symbol, tree in self._trees.items()
            }
            if wider == openings:
                return openings
            openings = wider

    def parse(self, symbol: str, words: list[str]) -> Parse:
        """All that words can mean, read as a symbol."""
        return Parse(self._trees, self._openings, symbol, words)


class Parse:
    """What words can mean, and where reading them failed.

    Attributes:
        meanings: What all the words together can mean, in the order of the productions.
        reached: How many of the words make the beginning of something that can be said.
        misfit: Why words that can be said mean nothing, and how many words that says it of; or None.
    """

    def __init__(
        self, trees: Mapping[str, _Branch], openings: Mapping[str, frozenset[str]], symbol: str, words: list[str]
    ) -> None:
        self._trees, self._openings, self._words = trees, openings, [*words, END]
        self._known: dict[tuple[str, int], list[tuple[int, Any]]] = {}
        self.reached = 0
        self.misfit: tuple[int, str] | None = None
        self.meanings = [meaning for end, meaning in self._read(symbol, 0) if end == len(words)]

    def _read(self, symbol: str, start: int) -> list[tuple[int, Any]]:
        """Where a symbol that begins at a word can end, and what it means then."""
        found = self._known.get((symbol, start))
        if found is None:
            found = self._known[symbol, start] = []
            if self._words[start] in self._openings[symbol]:
                self._follow(self._trees[symbol], start, (), found)
        return found

    def _follow(self, branch: _Branch, at: int, values: tuple[Any, ...], found: list[tuple[int, Any]]) -> None:
        for names, make in branch.ends:
            try:
                found.append((at, make(dict(zip(names, values, strict=True)))))
            except Misfit as error:
                self.misfit = max(self.misfit or (0, ""), (at, str(error)))
        if (following := branch.words.get(self._words[at])) is not None:
            self.reached = max(self.reached, at + 1)
            self._follow(following, at + 1, values, found)
        for symbol, following in branch.symbols.items():
            for end, value in self._read(symbol, at):
                self._follow(following, end, (*values, value), found)
