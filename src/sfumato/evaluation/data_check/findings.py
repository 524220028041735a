"""What can be wrong with a sample, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class Kind(NamedTuple):
    """One thing that may be wrong.

    Attributes:
        title: as the page calls it.
        meaning: what it is and why it matters, in a sentence or two.
        rejects: what `--fix` leaves out for it: the picture, the one caption, or nothing.
    """

    title: str
    meaning: str
    rejects: Literal["picture", "caption"] | None


KINDS: dict[str, Kind] = {
    "unusable": Kind(
        "unusable",
        "A broken file, or a picture without a caption; training sets it aside too. Nothing else could be checked.",
        "picture",
    ),
    "lie": Kind(
        "caption may lie",
        "Another caption, or this one with a word exchanged, fits the picture better: who learns it learns it wrong.",
        "caption",
    ),
    "duplicate": Kind(
        "duplicate", "The very same pixels as another picture: it counts double, and is learned by heart.", "picture"
    ),
    "near-duplicate": Kind(
        "near-duplicate",
        "Nearly the same as another picture, such as one saved in another size or quality; it counts double too.",
        "picture",
    ),
    "mirrored": Kind(
        "mirrored duplicate", "The mirror image of another picture. Where training flips, it counts double.", None
    ),
    "plain": Kind("nearly empty", "Almost all of it is of one colour: there is nothing to learn from.", "picture"),
    "tiny": Kind("tiny", "It has fewer pixels than training wants and would have to be enlarged.", "picture"),
    "blur": Kind("blurred", "It has no fine detail; who learns from it makes blurred pictures.", "picture"),
    "overlay": Kind(
        "watermark",
        "The same lines stand at the same place in many different pictures, as watermarks, frames and dates do; "
        "they would be painted into new pictures.",
        "picture",
    ),
    "boilerplate": Kind(
        "no real caption",
        "A file's name, a camera's number, an address or an empty phrase: it tells nothing.",
        "caption",
    ),
    "repeated": Kind(
        "repeated caption", "The same words stand under many different pictures, which they can hardly all tell.", None
    ),
    "encoding": Kind(
        "damaged letters", "Read in the wrong alphabet, or signs of a web page; what is certain is repaired.", None
    ),
    "script": Kind("other script", "In other letters than nearly all captions of the set, or in a mixture.", None),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one picture.

    Args:
        where: the picture's name, or the file and line.
        kind: one of `KINDS`.
        score: how bad, from 0 to 1.
        reason: in plain words.
        picture: its number among the samples; None when it is none.
        caption: the caption that is meant; None when the picture is.
        repaired: the caption as it should be, when that is certain.
        other: the number of the picture of which this one is a copy.
    """

    where: str
    kind: str
    score: float
    reason: str
    picture: int | None = None
    caption: str | None = None
    repaired: str | None = None
    other: int | None = None


def worst_first(findings: list[Finding]) -> list[Finding]:
    """By what it leads to (what is left out first), then by score; equal ones in their order."""
    return sorted(findings, key=lambda one: (KINDS[one.kind].rejects is None, -one.score))
