"""The token view: which words a prompt says, and the tokens that the model reads for each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """A number that an encoder reads.

    Attributes:
        tokenizer: whose it is, the name of its sub-folder, such as "tokenizer" or "tokenizer_2".
        id: the number.
        text: as the vocabulary spells it.
        place: of its state among those that the denoiser looks at; None for what it hears only summed up, or not at
            all.
    """

    tokenizer: str
    id: int
    text: str
    place: int | None


@dataclass(frozen=True)
class Word:
    """A word of a prompt, or a sign.

    Attributes:
        text: as it was typed.
        start, end: where it stands in the prompt, in characters, the end not included.
        tokens: what became of it.
        known: whether the captions of the training held it; True where they are not known.
        weight: how much it counts, 1 for most.
        branch: which branch of a prompt with AND it belongs to, from 0.
    """

    text: str
    start: int
    end: int
    tokens: tuple[Token, ...]
    known: bool = True
    weight: float = 1.0
    branch: int = 0

    @property
    def places(self) -> tuple[int, ...]:
        """Where the denoiser looks for it among the states of its branch; nothing where it is not heard."""
        return tuple(token.place for token in self.tokens if token.place is not None)
