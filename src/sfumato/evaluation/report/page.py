"""The page: a frame, a style and the sections in one file, which asks nothing of the world outside."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from sfumato import __version__
from sfumato.checkpoints.files import write_text
from sfumato.evaluation.report.card import Card
from sfumato.evaluation.report.sections import ORDER

FRAME = Path(__file__).with_name("page.html")
HEADLINE = ("licence", "parameters", "way")  # facts that stand below the title


def page(card: Card) -> str:
    """A card as one HTML document."""
    known = dict(card.facts.summary)
    told = [f"{name}: {known[name]}" for name in HEADLINE if name in known]
    recipe = card.lineage.get("recipe")
    description = recipe.get("description", "") if isinstance(recipe, dict) else ""
    return Template(FRAME.read_text(encoding="utf-8")).substitute(
        name=escape(card.name),
        description=escape(str(description)),
        facts="".join(f"<li>{escape(fact)}</li>" for fact in told),
        sections="\n".join(filter(None, (tell(card) for tell in ORDER))),
        version=escape(__version__),
    )


def write_page(card: Card, path: Path) -> None:
    """Write the page, all or nothing."""
    write_text(path, page(card))
