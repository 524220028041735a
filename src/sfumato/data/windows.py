"""Prompts of any length as windows: rows of tokens of the length that a text encoder reads, each token with its weight.

What does not fit into one window goes on in the next, and the states of all windows are laid end to end. The profiles
(`sfumato.data.prompts`) differ in where they part a long text:

- `sfumato`: between words; behind a comma, if one is in the last quarter of the window. A word is parted only when it
  is longer than a window.
- `diffusers`: what is behind the first window is lost.
- `a1111`: anywhere; behind a comma, if one is among the last 20 tokens.
- `comfyui`: anywhere within a piece of one weight that has 8 tokens or more; shorter pieces go to the next window
  whole. (Until December 2024 that held of words.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sfumato.data.prompts.pieces import Piece
from sfumato.errors import PromptError

MOST_WINDOWS = 64
A1111_BACKTRACK = 20  # "Prompt word wrap length limit", as it is set from the start
COMFYUI_LONG_PIECE = 8  # tokens

Words = Callable[[str], Sequence[Sequence[int]]]
"""The token numbers of a text, word by word, without start and end."""

Token = tuple[int, float]
"""A token's number and its weight."""


@dataclass(frozen=True)
class Frame:
    """How a text encoder wants its tokens.

    Attributes:
        length: tokens in a window, with start and end.
        start: the token before the text; None for encoders such as T5 that have none.
        end: the token behind it.
        pad: the token that fills up.
        comma: the token of a comma by itself.
        endless: whether all of a text, up to `length`, is one window, as for T5; BREAK then does nothing.
    """

    length: int
    start: int | None
    end: int
    pad: int
    comma: int | None = None
    endless: bool = False

    @property
    def room(self) -> int:
        """Tokens of text in a window."""
        return self.length - (1 if self.start is None else 2)


@dataclass(frozen=True)
class Window:
    """Token numbers, with start, end and padding, and the weight of each."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def plain(self) -> bool:
        """Whether every token has its ordinary weight."""
        return all(weight == 1 for weight in self.weights)


def windows(
    chunks: Sequence[Sequence[Piece]], words: Words, frame: Frame, profile: str = "sfumato"
) -> tuple[Window, ...]:
    """The windows of a branch of a prompt, at least one.

    Args:
        chunks: as `sfumato.data.prompts.parse` gives them by the same profile.
        words: the tokenizer.
        frame: of the text encoder.
        profile: a name in `sfumato.data.prompts.PROFILES`.

    Raises:
        PromptError: more than 64 windows.

    Example:
        >>> frame = Frame(length=5, start=8, end=9, pad=9)
        >>> windows([[Piece("a cat sat on", 1.3)]], lambda text: [[len(word)] for word in text.split()], frame)[0]
        Window(ids=(8, 1, 3, 3, 9), weights=(1.0, 1.3, 1.3, 1.3, 1.0))
    """
    rows: Iterator[list[Token]]
    if frame.endless or profile == "diffusers":
        rows = iter([_flat([piece for chunk in chunks for piece in chunk], words)[: frame.room]])
    else:
        part = {"sfumato": _sfumato, "a1111": _a1111, "comfyui": _comfyui}[profile]
        rows = part(chunks, words, frame)
    framed: list[Window] = []
    for row in rows:
        if len(framed) == MOST_WINDOWS:
            raise PromptError(
                f"The prompt is too long: it takes more than {MOST_WINDOWS} windows of {frame.room} tokens."
            )
        framed.append(_framed(row, frame))
    return tuple(framed) or (_framed([], frame),)


def empty(frame: Frame) -> Window:
    """The window of the empty prompt."""
    return _framed([], frame)


def _framed(row: Sequence[Token], frame: Frame) -> Window:
    start: list[Token] = [] if frame.start is None else [(frame.start, 1.0)]
    tokens = [*start, *row, (frame.end, 1.0)]
    tokens += [(frame.pad, 1.0)] * (frame.length - len(tokens))
    ids, weights = zip(*tokens, strict=True)
    return Window(ids, weights)


def _flat(pieces: Sequence[Piece], words: Words) -> list[Token]:
    return [(number, piece.weight) for piece in pieces for word in words(piece.text) for number in word]


def _sfumato(chunks: Sequence[Sequence[Piece]], words: Words, frame: Frame) -> Iterator[list[Token]]:
    room = frame.room
    for chunk in chunks:
        row: list[Token] = []
        comma = 0  # how much of the row is up to its last comma
        for piece in chunk:
            for word in words(piece.text):
                rest = [(number, piece.weight) for number in word]
                while len(row) + len(rest) > room:
                    if row and len(row) - comma <= room // 4 and comma:
                        row, moved = row[:comma], row[comma:]
                    elif row:
                        moved = []
                    else:
                        row, rest, moved = rest[:room], rest[room:], []
                    yield row
                    row, comma = moved, 0
                row += rest
                if frame.comma is not None and word[-1:] == [frame.comma]:
                    comma = len(row)
        if row:
            yield row


def _a1111(chunks: Sequence[Sequence[Piece]], words: Words, frame: Frame) -> Iterator[list[Token]]:
    room, row, comma, begun = frame.room, list[Token](), -1, False
    for number, chunk in enumerate(chunks):
        if number:
            yield row
            row, comma, begun = [], -1, True
        for token in _flat(chunk, words):
            if token[0] == frame.comma:
                comma = len(row)
            elif len(row) == room and comma != -1 and room - comma <= A1111_BACKTRACK:
                yield row[: comma + 1]
                row, comma, begun = row[comma + 1 :], -1, True
            if len(row) == room:
                yield row
                row, comma, begun = [], -1, True
            row.append(token)
    if row or not begun:
        yield row


def _comfyui(chunks: Sequence[Sequence[Piece]], words: Words, frame: Frame) -> Iterator[list[Token]]:
    room, row = frame.room, list[Token]()
    for piece in (piece for chunk in chunks for piece in chunk):
        rest = _flat([piece], words)
        parted = len(rest) >= min(COMFYUI_LONG_PIECE, room + 1)
        while len(row) + len(rest) > room:
            if parted:
                row, rest = row + rest[: room - len(row)], rest[room - len(row) :]
            yield row
            row = []
        row += rest
    yield row
