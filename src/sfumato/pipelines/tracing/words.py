"""The token view: which words a prompt says, and the tokens that the model reads for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sfumato.data.prompts import Branch
from sfumato.data.t5_tokens import T5Tokenizer
from sfumato.data.tokens import Tokenizer
from sfumato.data.windows import Frame, Window, windows
from sfumato.pipelines.model import Model
from sfumato.pipelines.weighting import Reading
from sfumato.pipelines.words import t5_length

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]|_+")
NUMBERS = re.compile(r":\s*[-+]?[\d.]+\s*(?=[)\]]|\Z|\bAND\b)|\bAND\b|\bBREAK\b")  # no words, but what weighs and parts


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


class Reader(NamedTuple):
    """A tokenizer of a model, and where the states of its tokens begin; None where they are only summed up."""

    name: str
    tokenizer: Tokenizer | T5Tokenizer
    frame: Frame
    first: int | None
    one_window: bool


def words_of(model: Model, prompt: str, reading: Reading) -> tuple[Word, ...]:
    """The words that a prompt says at a step, in their order.

    Args:
        model: who reads.
        prompt: the text.
        reading: by whose rules, and at which step.
    """
    plain = prompt if reading.profile == "diffusers" else NUMBERS.sub(lambda match: " " * len(match[0]), prompt)
    found, begin = list[Word](), 0
    for number, branch in enumerate(reading.branches(prompt)):
        spoken = list(_words(model, branch, number))
        read = [_tokens(reader, branch, reading, model) for reader in readers_of(model)]
        for word, piece, place in spoken:
            mine = (token for tokens in read for token in tokens.get(piece, ()) if token.overlaps(place, word.text))
            places = (text.find(word.text, begin) for text in (plain, prompt))  # a sign may be a word
            start = next((place for place in places if place >= 0), begin)
            begin = start + len(word.text)
            found.append(replace(word, start=start, end=begin, tokens=tuple(token.token for token in mine)))
    return tuple(found)


def parts(text: str) -> list[str]:
    """The words and signs of a text."""
    return WORD.findall(text)


def readers_of(model: Model) -> Iterator[Reader]:
    """The tokenizers that read for a model; of two that read the same for states side by side, the first."""
    kind, length = model.family.words, 0
    for name, tokenizer in model.tokenizers.items():
        if kind == "xl" and length:
            continue
        heard = kind != "flux"
        beside = length and kind == "sd3"  # the other CLIP's states lie beside those of the first
        if not beside:
            yield Reader(name, tokenizer, tokenizer.frame, 0 if heard else None, kind in ("sd3", "flux"))
            length = tokenizer.length
    for name, t5 in model.t5_tokenizers.items():
        yield Reader(name, t5, t5.frame(t5_length(model)), length if kind == "sd3" else 0, one_window=True)


def _words(model: Model, branch: Branch, number: int) -> Iterator[tuple[Word, int, int]]:
    """The words of a branch, with the number of the piece that each stands in, and its place in it."""
    unknown = set[str]()
    pieces = [piece for chunk in branch.chunks for piece in chunk]
    if model.tokenizers:
        unknown = {word for piece in pieces for word in model.tokenizer.unknown_words(piece.text)}
    for at, piece in enumerate(pieces):
        for match in WORD.finditer(piece.text):
            parts = re.findall(r"[^\W_]+", match[0].lower())
            known = not any(part in unknown for part in parts)
            yield Word(match[0], 0, 0, (), known, piece.weight, number), at, match.start()


class _Number(int):
    """A token's number that remembers which piece of the prompt it came from, and from where in it."""

    piece: int
    start: int
    end: int


class _Read(NamedTuple):
    token: Token
    start: int
    end: int

    def overlaps(self, place: int, text: str) -> bool:
        return self.start < place + len(text) and place < max(self.end, self.start + 1)


def _tokens(reader: Reader, branch: Branch, reading: Reading, model: Model) -> dict[int, list[_Read]]:
    """What a tokenizer makes of a branch, by the number of the piece."""
    pieces = [piece for chunk in branch.chunks for piece in chunk]
    said: dict[int, list[_Number]] = {}

    def numbers(text: str) -> Sequence[Sequence[int]]:
        piece = next(at for at, each in enumerate(pieces) if each.text == text and at not in said)
        said[piece] = []
        marked = []
        for spans in reader.tokenizer.spans(text):
            marked.append([_marked(number, piece, start, end) for number, start, end in spans])
            said[piece] += marked[-1]
        return marked

    rows = windows(branch.chunks, numbers, reader.frame, "sfumato" if reader.frame.endless else reading.profile)
    placed = _placed(rows[:1] if reader.one_window else rows)
    spelt = reader.tokenizer.spelling
    return {
        piece: [
            _Read(Token(reader.name, int(one), spelt(one), _place(reader, placed.get(id(one)))), one.start, one.end)
            for one in marked
        ]
        for piece, marked in said.items()
    }


def _marked(number: int, piece: int, start: int, end: int) -> _Number:
    marked = _Number(number)
    marked.piece, marked.start, marked.end = piece, start, end
    return marked


def _placed(rows: Sequence[Window]) -> dict[int, int]:
    """The place of each token of the windows, which are laid end to end, by its identity."""
    ids = [number for row in rows for number in row.ids]
    return {id(number): place for place, number in enumerate(ids) if isinstance(number, _Number)}


def _place(reader: Reader, place: int | None) -> int | None:
    return None if place is None or reader.first is None else reader.first + place
