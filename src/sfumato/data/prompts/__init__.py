"""Prompts as people write them, taken apart by the rules of the program they were written for.

A prompt is branches, each a denoiser's call of its own; a branch is chunks, each read by itself; a chunk is pieces of
text with a weight. A *profile* says whose rules hold:

- `sfumato`: A1111's syntax, where only brackets that have their partner are syntax. `(word)` weighs 1.1 times as much,
  `[word]` 1.1 times less, `(word:1.3)` 1.3 times; `BREAK` begins a chunk, also within brackets; `AND` outside of
  brackets begins a branch, which may end in its weight, as in `a cat AND a dog :1.2`. A backslash before `( ) [ ] \\`
  takes it as text.
- `diffusers`: all is text.
- `a1111`: AUTOMATIC1111's stable-diffusion-webui 1.7: a bracket without partner holds to the end, `AND` is seen within
  brackets too, a prompt may end in `:weight` without any AND, and BREAK is a word within brackets that weigh.
  `[from:to:when]` and `[one|other]` say something else from step to step.
- `comfyui`: ComfyUI: round brackets alone; an inner number takes the place of the outer one instead of multiplying it.

Weights may be negative, but lie between -1000 and 1000: a weight of 1e999 or nan is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sfumato.data.prompts import a1111, comfyui, editing, ours
from sfumato.data.prompts.pieces import HEAVIEST, Branch, Piece
from sfumato.errors import PromptError

__all__ = ["HEAVIEST", "PROFILES", "Branch", "Piece", "ends", "parse", "parse_at"]


def parse(text: str, profile: str = "sfumato", *, negative: bool = False) -> tuple[Branch, ...]:
    """The branches of a prompt; one at least, of one chunk at least, which may hold no piece.

    Args:
        text: any text.
        profile: a name in `PROFILES`.
        negative: of what is to be gone away from there is one estimate only, so that AND is a word.

    Raises:
        PromptError: naming the character, counted from 1, for a weight that is out of bounds or no number, brackets
            more than 50 deep, or a prompt that changes from step to step, which `parse_at` reads ([from:to:when],
            [one|other]); or for a profile that does not exist.

    Example:
        >>> parse("(red:1.3) cat AND a dog :0.5")[0].chunks
        ((Piece(text='red', weight=1.3), Piece(text=' cat ', weight=1.0)),)
    """
    return tuple(_parser(profile)(text, not negative))


def parse_at(
    text: str, profile: str = "sfumato", *, step: int, steps: int, negative: bool = False
) -> tuple[Branch, ...]:
    """`parse` of what a prompt says at a step, 1 to `steps`: by the rules of a1111 it may change on the way.

    Example:
        >>> [parse_at("a [cat:dog:0.5]", "a1111", step=step, steps=2)[0].chunks[0][0].text for step in (1, 2)]
        ['a cat', 'a dog']
    """
    if profile == "a1111":
        return tuple(a1111.branches(text, not negative, step, steps))
    return parse(text, profile, negative=negative)


def ends(text: str, profile: str = "sfumato", *, steps: int, negative: bool = False) -> list[int]:
    """The steps, 1 to `steps`, after which a prompt says something else; the last one always is there."""
    if profile != "a1111":
        return [steps]
    return sorted({end for part, _, _ in a1111.parts(text, not negative) for end in editing.ends(part, steps)})


def _parser(profile: str) -> Callable[[str, bool], Iterator[Branch]]:
    if profile not in _PARSERS:
        raise PromptError(f"There is no prompt profile {profile!r:.100}; there are {', '.join(PROFILES)}.")
    return _PARSERS[profile]


def _literal(text: str, branching: bool) -> Iterator[Branch]:
    yield Branch(((Piece(text),) if text else (),))


_PARSERS: dict[str, Callable[[str, bool], Iterator[Branch]]] = {
    "sfumato": ours.branches,
    "diffusers": _literal,
    "a1111": a1111.branches,
    "comfyui": comfyui.branches,
}
PROFILES = tuple(_PARSERS)
"""Whose arithmetic a prompt is read with."""
