"""The pieces of HTML that sections are made of; all text from outside goes through `escape`."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from PIL import Image

LARGEST_SIDE = 256  # pixels of a picture in the page
WHOLE_ROW = '<tr class="whole">'


def section(title: str, *parts: str, note: str = "") -> str:
    """A titled section; empty text when it has no content."""
    content = "\n".join(part for part in parts if part)
    if not content:
        return ""
    anchor = "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
    told = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{escape(title)}</h2>\n{told}{content}\n</section>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], whole: str = "") -> str:
    """A table whose cells are HTML already; the first cell of a row is its header. The row `whole` stands out."""
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "\n".join(
        f"{WHOLE_ROW if first == whole else '<tr>'}"
        f'<th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="wide" role="region" aria-label="{escape(caption)}" tabindex="0"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def bar(value: float | None, colour: int) -> str:
    """A share from 0 to 1 as a number and a bar of that length."""
    if value is None:
        return '<span class="none">–</span>'
    length = min(max(value, 0), 1) * 100
    return (
        f'<span class="bar"><span class="fill-{colour}" style="width:{length:.1f}%"></span></span>'
        f'<span class="number">{value:.3f}</span>'
    )


def figure(picture: Image.Image, alt: str, caption: str, side: int = LARGEST_SIDE) -> str:
    """A picture with HTML below it; see `data_uri`."""
    return (
        f'<figure><img src="{data_uri(picture, side)}" alt="{escape(alt)}" width="{picture.width}" '
        f'height="{picture.height}"><figcaption>{caption}</figcaption></figure>'
    )


def data_uri(picture: Image.Image, side: int = LARGEST_SIDE) -> str:
    """A picture as text, a PNG of at most so many pixels a side."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def number(value: Any, digits: int) -> str:
    """A number from outside; a dash for what is none."""
    return f"{value:.{digits}f}" if is_number(value) else "–"


def is_number(value: Any) -> bool:
    """Whether it is a number that can be shown."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
