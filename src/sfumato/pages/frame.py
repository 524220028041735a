"""The frame of a page: a style and sections in one file, which asks nothing of the world outside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from sfumato import __version__

FRAME = Path(__file__).with_name("page.html")


def framed(
    title: str,
    name: str,
    description: str,
    facts: Iterable[str],
    sections: Iterable[str],
    style: str = "",
    script: str = "",
) -> str:
    """One HTML document.

    Args:
        title: of the window.
        name, description: the headline, and what stands below.
        facts: short ones, which stand below that.
        sections: HTML; empty ones are left out. All else is plain text.
        style: CSS besides that of every page.
        script: the one program that the page may run; its policy allows that by a hash, and nothing else.
    """
    return Template(FRAME.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        name=escape(name),
        description=escape(description),
        facts="".join(f"<li>{escape(fact)}</li>" for fact in facts),
        sections="\n".join(filter(None, sections)),
        style=style,
        allowed=f"; script-src '{digest(script)}'" if script else "",
        script=f"<script>{script}</script>\n" if script else "",
        version=escape(__version__),
    )


def digest(script: str) -> str:
    """How a content security policy names a program, by CSP 3's `hash-source`."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}"
