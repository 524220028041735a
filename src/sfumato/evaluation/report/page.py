"""The page about a model."""

from __future__ import annotations

from pathlib import Path

from sfumato.checkpoints.files import write_text
from sfumato.evaluation.report.card import Card
from sfumato.evaluation.report.sections import ORDER
from sfumato.pages.frame import framed

HEADLINE = ("licence", "parameters", "way")  # facts that stand below the title


def page(card: Card) -> str:
    """A card as one HTML document."""
    known = dict(card.facts.summary)
    recipe = card.lineage.get("recipe")
    description = recipe.get("description", "") if isinstance(recipe, dict) else ""
    told = [f"{name}: {known[name]}" for name in HEADLINE if name in known]
    sections = (tell(card) for tell in ORDER)
    return framed(f"{card.name}: report card", card.name, str(description), told, sections)


def write_page(card: Card, path: Path) -> None:
    """Write the page, all or nothing."""
    write_text(path, page(card))
