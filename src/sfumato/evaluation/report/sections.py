"""What a report says, section by section; each takes the card and gives HTML, or empty text when there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from sfumato.evaluation.measures import MEASURES
from sfumato.evaluation.report.card import Card
from sfumato.pages.marks import bar, figure, is_number, number, section, table
from sfumato.pages.plots import curves

PRIVATE = ("model", "folder", "file")  # the title says the first; the others are places on one's own disk
GOOD = {"lower": "↓", "higher": "↑", "like real": "="}  # which way
FIRST = ("seen", "held_out")  # columns of scenes
WHOLE = "overall"  # the row of all categories


def samples(card: Card) -> str:
    """Made pictures with their prompts and seeds."""
    figures = [
        figure(
            sample.picture,
            f"Picture made for: {sample.prompt}",
            escape(sample.prompt)
            + (f' <span class="seed">seed {sample.seed}</span>' if sample.seed is not None else ""),
        )
        for sample in card.samples
    ]
    note = "As they came, none chosen by hand."
    return section("Pictures", f'<div class="pictures">{"".join(figures)}</div>' if figures else "", note=note)


def scenes(card: Card) -> str:
    """Faithfulness on composed scenes, each category on seen and on held-out combinations.

    The metrics hold {"overall": shares, "categories": {name: shares}} with shares such as {"seen": 0.97, "held_out":
    0.95}, each a number from 0 to 1, or a table with that number as its "score"; other columns follow those two.
    """
    if not card.scenes or not isinstance(card.scenes.get("categories"), Mapping):
        return ""
    categories = {str(k): v for k, v in card.scenes["categories"].items() if isinstance(v, Mapping)}
    overall = card.scenes.get("overall")
    if isinstance(overall, Mapping):
        categories = {WHOLE: overall, **categories}
    found = dict.fromkeys(str(key) for shares in categories.values() for key, v in shares.items() if is_share(v))
    columns = sorted(found, key=lambda key: FIRST.index(key) if key in FIRST else len(FIRST))
    rows = [
        [escape(_words(name)), *(bar(share_of(shares.get(key)), place) for place, key in enumerate(columns, 1))]
        for name, shares in categories.items()
    ]
    caption = "The share of scenes that show what was asked for"
    told = table(caption, ["category", *map(_words, columns)], rows, whole=WHOLE)
    note = "Judged exactly: the contents of a scene are known. Held-out combinations are in no training picture."
    return section("Faithful to the words", told if columns else "", note=note)


def is_share(value: Any) -> bool:
    """Whether a category tells a share here, as a number or under the key "score"."""
    return share_of(value) is not None


def share_of(value: Any) -> float | None:
    """That number; None where there is none."""
    value = value.get("score") if isinstance(value, Mapping) else value
    return float(value) if is_number(value) and 0 <= value <= 1 else None


def general(card: Card) -> str:
    """Made pictures beside real ones."""
    told = card.general
    if not told or not isinstance(told.get("scores"), Mapping):
        return ""
    rows = []
    for key, measure in MEASURES.items():
        score = told["scores"].get(key)
        if isinstance(score, Mapping):
            way = f'<abbr title="better: {measure.better}">{GOOD[measure.better]}</abbr>'
            told_of = f"<small>{escape(measure.meaning)} {escape(measure.source)}</small>"
            values = (number(score.get(which), measure.digits) for which in ("value", "real"))
            rows.append([f"{escape(measure.title)}&nbsp;{way}{told_of}", *values])
    data, network = _within(told, "data"), _within(told, "features")
    note = (
        f"{data.get('pictures', '?')} pictures for captions of {data.get('source', '?')}, seen by "
        f"{network.get('name', '?')}. The column real tells what real pictures reach; ↓ is better low, ↑ high, = like "
        "real. Numbers by other networks, or of other numbers of pictures, cannot be compared with these."
    )
    told_all = table("Scores", ["measure", "made", "real"], rows) if rows else ""
    return section("Beside real pictures", told_all, note=note)


def reconstructions(card: Card) -> str:
    """Real pictures before and after the autoencoder."""
    figures = [
        f'<div class="pair">{figure(a, f"Real picture {i}", "real")}'
        f"{figure(b, f'Real picture {i} after the autoencoder', 'after')}</div>"
        for i, (a, b) in enumerate(card.pairs, 1)
    ]
    note = "Real pictures, and the same after being made latents and pictures again: what is lost here, no prompt gets."
    return section("The autoencoder", f'<div class="pairs">{"".join(figures)}</div>' if figures else "", note=note)


def parts(card: Card) -> str:
    """Networks and their sizes."""
    rows = [
        [
            escape(part.name),
            f"<code>{escape(part.network)}</code>",
            f"{part.parameters:,}",
            escape(part.dtype),
            f"{part.bytes / 1e6:.1f} MB",
        ]
        for part in card.facts.parts
    ]
    return section(
        "Parts", table("Networks", ["part", "network", "parameters", "format", "size"], rows) if rows else ""
    )


def origin(card: Card) -> str:
    """What it was made from and how, as its files tell."""
    lines = [(name, value) for name, value in card.facts.summary if name not in PRIVATE]
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in lines)
    return section("Origin and licence", f"<dl>{items}</dl>")


def training(card: Card) -> str:
    """The curves of each stage."""
    drawn = [
        f"<figure><figcaption>{escape(stage)}</figcaption>{drawing}</figure>"
        for stage, series in card.curves.items()
        if (drawing := curves(stage, series))
    ]
    return section("Training", f'<div class="plots">{"".join(drawn)}</div>' if drawn else "")


def limits(card: Card) -> str:
    """What it cannot do, in the words of its own page."""
    points = card.limits or ["The model's own page names none. That does not mean that it has none."]
    return section("Known limits", f"<ul>{''.join(f'<li>{escape(point)}</li>' for point in points)}</ul>")


ORDER = (samples, scenes, general, reconstructions, parts, origin, training, limits)


def _within(told: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = told.get(key)
    return value if isinstance(value, Mapping) else {}


def _words(key: str) -> str:
    return key.replace("held_out", "held-out").replace("_", " ")
