"""The classes of labelled pictures, and which of them a prompt means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sfumato.errors import DataError

UNLABELLED = "picture"  # the one class of pictures without labels


@dataclass(frozen=True)
class Classes:
    """Names of classes, and the words that give them away.

    Attributes:
        names: of the classes, in their order.
        words: for each word that the captions of one class alone have: the class's number, and which share of its
            captions has the word.
    """

    names: tuple[str, ...]
    words: Mapping[str, tuple[int, float]]

    @classmethod
    def of(cls, captions: Sequence[Sequence[str]], labels: Sequence[str | None]) -> Classes:
        """The classes of pictures, by their labels; all are of one class where any has none."""
        names = (UNLABELLED,) if None in labels else tuple(sorted({str(label) for label in labels}))
        texts: list[set[str]] = [set() for _ in names]
        for several, label in zip(captions, labels, strict=True):
            texts[names.index(str(label)) if len(names) > 1 else 0].update(several)
        counts = [Counter(word for text in each for word in set(split(text))) for each in texts]
        classes_with = Counter(word for count in counts for word in count)
        words = {
            word: (number, times / len(texts[number]))
            for number, count in enumerate(counts)
            for word, times in sorted(count.items())
            if classes_with[word] == 1
        }
        return cls(names, words)

    def __len__(self) -> int:
        return len(self.names)

    def numbers(self, labels: Sequence[str | None]) -> list[int]:
        """The class of each label."""
        return [self.names.index(str(label)) if len(self) > 1 else 0 for label in labels]

    def meant(self, prompt: str) -> int | None:
        """The class that a prompt speaks of, by the words that only this class has; None where it names none.

        Example:
            >>> classes = Classes.of([("a red dress",), ("a blue hat", "an old hat")], ["dress", "hat"])
            >>> [classes.meant(prompt) for prompt in ("Hat!", "a new dress", "a shoe")]
            [1, 0, None]
        """
        votes: Counter[int] = Counter()
        for word in split(prompt):
            if word in self.words:
                number, share = self.words[word]
                votes[number] += share  # type: ignore[assignment]
        return max(votes, key=lambda number: votes[number]) if votes else None

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"names": list(self.names), "words": {word: list(value) for word, value in self.words.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Classes:
        """Read what `to_dict` gave; DataError when it is not that."""
        try:
            names = tuple(values["names"])
            words = {str(word): (int(number), float(share)) for word, (number, share) in values["words"].items()}
            known = range(len(names))
            if not all(isinstance(name, str) for name in names) or any(n not in known for n, _ in words.values()):
                raise ValueError("names and words do not fit")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"these are no classes: {error!r}") from error
        return cls(names, words)


def split(text: str) -> list[str]:
    """The words and numbers of a text, in small letters."""
    return re.findall(r"\w+", text.lower())
