"""Texts that must contain given words: the model writes freely, and what it still owes is written before its end."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sfumato.data.text.tokens import TextTokenizer
from sfumato.errors import DataError, PromptError

STRENGTH = 8.0  # what is added to the score of an owed word's next token, when all tokens but the last are written


class Owed:
    """The words that a text still owes, and when they are written.

    A word counts where it stands as a whole, in upper or lower case, in the prompt or in what was written. It is made
    likelier the longer the text gets; where the model would end the text, or there is just enough room left, it is
    written. A word that stands is not lengthened to another.

    Args:
        words: that the text must contain.
        tokenizer: of the model.
        ends: tokens that end a text.
        stop: strings that end a text.
        tokens: how many may be written.

    Raises:
        PromptError: a word is empty, cannot be written with the model's characters, holds a stop word, or there are
            more than fit.
    """

    def __init__(
        self, words: Sequence[str], tokenizer: TextTokenizer, ends: frozenset[int], stop: Sequence[str], tokens: int
    ) -> None:
        self._tokenizer, self._ends, self._stop, self._tokens = tokenizer, ends, stop, tokens
        self._spelt = {word: _spelt(word, tokenizer, stop) for word in words}
        self._room = {word: max(len(ids), len(tokenizer.encode(word))) for word, ids in self._spelt.items()}
        self._found = {word: re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE) for word in words}
        self._blank = tokenizer.encode(" ")[0]
        self._queue: list[int] = []
        need = sum(self._room.values())
        if need > tokens:
            raise PromptError(f"The words {', '.join(words)} take {need} tokens, and only {tokens} may be written.")

    def missing(self, text: str) -> list[str]:
        """The words that are not in a text."""
        return [word for word, found in self._found.items() if not found.search(text)]

    def favoured(self, ids: list[int]) -> list[int]:
        """The tokens that would begin an owed word, or go on with one that is begun."""
        if self._queue:
            return []
        tokens = []
        for word in self.missing(self._tokenizer.decode(ids)):
            spelling = self._spelt[word]
            begun = next((n for n in range(len(spelling) - 1, 0, -1) if ids[-n:] == spelling[:n]), 0)
            if begun or self._tokenizer.kind == "bytes":  # a blank alone is the beginning of any word
                tokens.append(spelling[begun])
        return tokens

    def strength(self, written: int) -> float:
        """What is added to the scores of those tokens."""
        return STRENGTH * written / self._tokens

    def decide(self, ids: list[int], token: int, written: int) -> tuple[int, bool]:
        """Takes the token that was chosen, or another; and says whether it is the one that was chosen.

        Args:
            ids: the text so far, with the prompt.
            token: that was chosen to come next.
            written: tokens that have been written.
        """
        if self._queue:
            return self._queue.pop(0), False
        text = self._tokenizer.decode(ids)
        owed = self.missing(text)
        after, ended = self._after(text, ids, token)
        lost = [word for word in self.missing(after) if word not in owed]
        if owed and (ended or self._tokens - written <= sum(self._room[word] for word in owed)):
            after_blank = not text or text[-1].isspace()
            self._queue = self._tokenizer.encode(owed[0]) if after_blank else list(self._spelt[owed[0]])
            return self._queue.pop(0), False
        return (self._blank, False) if lost else (token, True)

    def _after(self, text: str, ids: list[int], token: int) -> tuple[str, bool]:
        """The text with one more token, and whether it ends there."""
        if token in self._ends:
            return text, True
        after = self._tokenizer.decode([*ids, token])
        # a stop word that was there before, in the prompt, ends nothing
        places = [after.find(stop, max(0, len(text) - len(stop) + 1)) for stop in self._stop]
        found = [place for place in places if place >= 0]
        return (after[: min(found)], True) if found else (after, False)


def _spelt(word: str, tokenizer: TextTokenizer, stop: Sequence[str]) -> list[int]:
    """A word after a blank, in tokens."""
    if not word.strip() or word != word.strip():
        raise PromptError(f"{word!r} cannot be a word that a text must contain: it is empty or begins with blanks.")
    if held := [each for each in stop if each in word]:
        raise PromptError(f"The text must contain {word!r} and is to stop at {held[0]!r}: that cannot be.")
    try:
        return tokenizer.encode(f" {word}")
    except DataError as error:
        raise PromptError(f"The model cannot write {word!r}. {error}") from error
