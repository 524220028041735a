"""Captions with a word exchanged for another that stands at the same place elsewhere: the same, but for a fact."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sfumato.data.words import article

PIECES = re.compile(r"\w+|[^\w\s]+|\s+")
EDGE = ""  # what stands before the first word and behind the last
COMMON, FEW = 0.15, 10  # share and number of captions above which a word is common
MOST, SURE = 0.5, 0.35  # share of captions, and chance of being foreseen, above which a common word tells no fact
FILLERS = 24  # of one context, and exchanges of one word: the commonest
CONTEXTS = 50_000  # that are looked at, the commonest
LONGEST = 64  # words of a caption that are learned from
ONE_SIDED = 0.25  # what a word on one side counts beside a word on both

Context = tuple[str | None, str | None]


@dataclass(frozen=True)
class Alterations:
    """Which words stand for each other in a set of captions.

    Args:
        exchanges: for a word in lower case, others that stand where it stands, and how often compared with each other.

    Example:
        >>> known = Alterations.of(["a red cat", "a blue cat", "a red dog", "a blue dog", "one bird"])
        >>> sorted(known.altered("a red bird", 9, random.Random(0)))
        ['a blue bird', 'a red cat', 'a red dog', 'one red bird']
    """

    exchanges: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, captions: Iterable[str]) -> Alterations:
        """Learn them from captions.

        Words that tell no fact are left alone: common ones that can be foreseen from those beside them ("a", "of").
        """
        contexts: dict[Context, Counter[str]] = defaultdict(Counter)
        occurs: Counter[str] = Counter()
        total = 0
        for caption in captions:
            total += 1
            words = [word.lower() for word in _words(caption)[:LONGEST]]
            occurs.update(set(words))
            for before, word, after in zip([EDGE, *words], words, [*words[1:], EDGE], strict=False):
                for context in ((before, after), (before, None), (None, after)):
                    contexts[context][word] += 1
        often = {word for word, times in occurs.items() if times > max(FEW, COMMON * total)}
        tell_nothing = {word for word in often if occurs[word] > MOST * total or _foreseen(word, contexts) > SURE}
        kept = occurs.keys() - tell_nothing
        weights: dict[str, Counter[str]] = defaultdict(Counter)
        for sides, counts in sorted(contexts.items(), key=lambda item: -item[1].total())[:CONTEXTS]:
            fillers = [(word, times) for word, times in counts.most_common() if word in kept][:FILLERS]
            weight = (1 if None not in sides else ONE_SIDED) / max(1, len(fillers))
            for word, times in fillers:
                for other, others in fillers:
                    if word != other:
                        weights[word][other] += weight * min(times, others)  # type: ignore[assignment]
        return cls({word: dict(found.most_common(FILLERS)) for word, found in weights.items()})

    def altered(self, caption: str, count: int, chance: random.Random) -> list[str]:
        """At most so many different captions of which each differs from the given one at one place, or by an exchange.

        Every word that can be exchanged has its turn before any has a second one; besides, two words that stand for
        each other change places ("a cat beside a dog"). "a" becomes "an" where the new word asks for it.
        """
        pieces = PIECES.findall(caption)
        places = [place for place, piece in enumerate(pieces) if piece.lower() in self.exchanges]
        ways = [self._replaced(pieces, place, chance) for place in places]
        ways.append(self._swapped(pieces, places, chance))
        chance.shuffle(ways)
        found: dict[str, None] = {}
        while ways and len(found) < count:
            for way in list(ways):
                text = next(way, None)
                if text is None:
                    ways.remove(way)
                elif text.lower() != caption.lower() and len(found) < count:
                    found[text] = None
        return list(found)

    def _replaced(self, pieces: list[str], place: int, chance: random.Random) -> Iterator[str]:
        """The caption with other words at a place, the likelier ones earlier as a rule."""
        weights = self.exchanges[pieces[place].lower()]
        # a weighted draw without replacement: keys u ** (1 / w) in falling order (Efraimidis and Spirakis 2006)
        order = sorted(weights, key=lambda word: chance.random() ** (1 / weights[word]), reverse=True)
        for word in order:
            yield _written(pieces, {place: word})

    def _swapped(self, pieces: list[str], places: list[int], chance: random.Random) -> Iterator[str]:
        pairs = [(a, b) for a in places for b in places if a < b and self._alike(pieces[a], pieces[b])]
        chance.shuffle(pairs)
        for a, b in pairs:
            yield _written(pieces, {a: pieces[b], b: pieces[a]})

    def _alike(self, one: str, other: str) -> bool:
        return other.lower() in self.exchanges[one.lower()]


def _foreseen(word: str, contexts: Mapping[Context, Counter[str]]) -> float:
    """The chance of a word where it stands, given the one before it or the one behind it."""
    beside = [counts for sides, counts in contexts.items() if None in sides and word in counts]
    return sum(counts[word] ** 2 / counts.total() for counts in beside) / sum(counts[word] for counts in beside)


def _words(text: str) -> list[str]:
    return [piece for piece in PIECES.findall(text) if piece[0].isalnum() or piece[0] == "_"]


def _written(pieces: list[str], changes: Mapping[int, str]) -> str:
    """The pieces with some exchanged, and the articles before those made to fit."""
    new = [changes.get(place, piece) for place, piece in enumerate(pieces)]
    for place, word in changes.items():
        before = place - 2
        if before >= 0 and new[before].lower() in ("a", "an") and new[place - 1].isspace():
            fitting = article(word)
            new[before] = fitting.capitalize() if new[before][0].isupper() else fitting
    return "".join(new)
