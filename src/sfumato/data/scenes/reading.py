"""Captions read: from the words of a caption to what it says, or to the word at which it says nothing."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from sfumato.data.scenes.concepts import Concept
from sfumato.data.scenes.description import Said
from sfumato.data.scenes.grammar import Parse, Token, tokens
from sfumato.data.scenes.sentences import grammar
from sfumato.errors import DataError

LONGEST = 2000  # characters; the longest captions have about 150


class ReadingError(DataError):
    """A caption that says nothing of a scene.

    Args:
        message: What is wrong, and where.
        word: The word at which it stops making sense; empty where it ends too early.
        position: Where that word begins in the caption, in characters; where it ends too early, its length.
    """

    def __init__(self, message: str, word: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.word = word
        self.position = position


class Reader:
    """Reads captions about some concepts.

    Args:
        concepts: The pack's concepts, in its order.

    Example:
        >>> reader = Reader([Concept("cat", "cats", ("kitty",)), Concept("dog", "dogs")])
        >>> said = reader.read("A kitty to the left of two red dogs, blue bg")
        >>> said.relation, said.background, [(group.count, group.colour) for group in said.groups]
        ('left of', 'blue', [(1, None), (2, 'red')])
    """

    def __init__(self, concepts: Sequence[Concept]) -> None:
        self.concepts = concepts
        self._grammar = grammar(concepts)

    def read(self, caption: str, strangers: int = 0) -> Said:
        """What a caption says; of several readings the one that claims least.

        Args:
            caption: A sentence or a few words, in lower or upper case.
            strangers: How many words that mean nothing may stand among them and are passed over.

        Raises:
            ReadingError: it is nothing that a caption can say; the error has the word and its position.
        """
        return self.readings(caption, strangers)[0]

    def readings(self, caption: str, strangers: int = 0) -> tuple[Said, ...]:
        """All that a caption can say, what claims least first; arguments and errors are those of `read`.

        Few captions are ambiguous. Mostly one reading says all that the other does and more: "cat with apple" may tell
        that the cat holds it. Rarely they differ: "apple on orange" is two fruits, or one before a colour; "big wheel"
        is a Ferris wheel, or a wheel that is big; "green tea" is tea as it is, or tea that is coloured.
        """
        if len(caption) > LONGEST:
            raise _error(caption, "", LONGEST, f"captions have at most {LONGEST} characters")
        found = tokens(caption)
        unknown = [token for token in found if token.text not in self._grammar.words]
        if len(unknown) > strangers:
            raise _error(caption, *unknown[strangers], "no caption has this word")
        known = [token for token in found if token.text in self._grammar.words] if unknown else found
        parse = self._grammar.parse("sentence", [token.text for token in known])
        if not parse.meanings:
            raise _failure(caption, known, parse)
        return tuple(sorted(dict.fromkeys(parse.meanings), key=lambda said: said.claims))


def read(caption: str, concepts: Sequence[Concept], strangers: int = 0) -> Said:
    """What one caption says; who reads many keeps a `Reader`, whose `read` has these arguments and errors."""
    return _reader(tuple(concepts)).read(caption, strangers)


@functools.lru_cache(maxsize=4)
def _reader(concepts: tuple[Concept, ...]) -> Reader:
    return Reader(concepts)


def _failure(caption: str, known: list[Token], parse: Parse) -> ReadingError:
    if parse.misfit is not None and parse.misfit[0] >= parse.reached:
        end, reason = parse.misfit
        return _error(caption, *known[end - 1], reason)
    if parse.reached == len(known):
        return _error(caption, "", len(caption), "something must follow" if known else "it has no words")
    return _error(caption, *known[parse.reached], "nothing that can be said goes on so")


def _error(caption: str, word: str, position: int, reason: str) -> ReadingError:
    shown = caption if len(caption) <= 80 else f"{caption[:77]}..."
    where = f"at {word!r}, character {position}" if word else "at its end"
    return ReadingError(f"the caption {shown!r} cannot be read {where}: {reason}", word, position)
