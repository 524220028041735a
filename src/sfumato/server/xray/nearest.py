"""The training pictures that are most like the one that was made: is it new?"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sfumato.evaluation.neighbours import Neighbour
from sfumato.pages.marks import section
from sfumato.server.xray.looks import FEW_PIXELS, uri

SIDE = 160  # pixels
MOST = 24
NOTE = "By the root mean square of the difference of small copies, 0 to 2; a copy has a distance near 0."


def nearest(found: Sequence[Neighbour]) -> str:
    """A section with them, empty text when there are none."""
    few = " pixels" if found and max(found[0].picture.size) <= FEW_PIXELS else ""
    figures = "".join(
        f'<figure><img src="{uri(one.picture, SIDE)}" alt="Training picture: {escape(one.caption)}" '
        f'width="{one.picture.width}" height="{one.picture.height}"><figcaption>{escape(one.caption)}'
        f"<small>distance {one.distance:.3f}</small></figcaption></figure>"
        for one in found[:MOST]
    )
    return section(
        "Nearest training pictures", f'<div class="pictures{few}">{figures}</div>' if found else "", note=NOTE
    )
