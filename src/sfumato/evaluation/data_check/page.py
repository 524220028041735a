"""The page about data: what is wrong, the worst first, with pictures, in one file that runs no program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image

from sfumato.data.entries import Entry
from sfumato.data.pictures import PictureError
from sfumato.evaluation.data_check.findings import KINDS, Finding
from sfumato.evaluation.data_check.looking import opened
from sfumato.pages.frame import framed
from sfumato.pages.marks import data_uri, section, table

SIDE = 128  # pixels of a picture in the page, at most
LONGEST = 300  # characters of a caption
UNSHOWN = 100  # files that could not be opened, at most
REJECTED = {"picture": "leaves the picture out", "caption": "leaves the caption out", None: "keeps it"}

STYLE = """
fieldset { border: 0; margin: 0 0 20px; padding: 0; display: flex; flex-wrap: wrap; gap: 8px; }
legend { color: var(--soft); margin-bottom: 6px; }
label { border: 1px solid var(--rule); border-radius: 99px; padding: 4px 12px; background: var(--card);
  cursor: pointer; }
label:has(:checked) { border-color: var(--c1); color: var(--c1); font-weight: 600; }
label:has(:focus-visible) { outline: 2px solid var(--c1); outline-offset: 2px; }
label input { position: absolute; opacity: 0; pointer-events: none; }
.found { margin: 0; padding: 0; max-width: none; list-style: none; display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 460px), 1fr)); }
.found > li { display: flex; gap: 14px; margin: 0; padding: 12px; border: 1px solid var(--rule); border-radius: 8px;
  background: var(--card); min-width: 0; }
.found .shown { flex: 0 0 128px; } .found .shown img { width: auto; max-width: 128px; }
.found .told { min-width: 0; overflow-wrap: anywhere; } .found h3 { margin: 0 0 4px; font-size: 1rem; }
.found p { margin: 4px 0; } .found q { color: var(--soft); } .found strong { color: var(--c2); }
"""


def page(
    name: str,
    facts: Sequence[str],
    notes: Sequence[str],
    findings: Sequence[Finding],
    entries: Sequence[Entry],
    shown: int,
) -> str:
    """One HTML document.

    Args:
        name: of the data.
        facts: short ones about the whole.
        notes: what was left out, and how far what was found can be trusted.
        findings: all of them, the worst first.
        entries: the samples, by whose numbers the findings speak.
        shown: pictures on the page, at most.
    """
    by_picture: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.picture is not None and finding.kind != "unusable":
            by_picture.setdefault(finding.picture, []).append(finding)
    worst = dict(sorted(by_picture.items(), key=lambda item: _badness(item[1]), reverse=True)[:shown])
    kinds = Counter(finding.kind for several in worst.values() for finding in several)
    note = f"The worst {len(worst):,} of {len(by_picture):,} pictures with findings; findings.jsonl holds all."
    cards = "\n".join(_card(entries, number, several) for number, several in worst.items())
    listed = f'<ol class="found">{cards}</ol>' if worst else "<p>Nothing was found.</p>"
    sections = [
        _summary(findings, notes),
        section("Pictures", _filter(kinds) if kinds else "", listed, note=note if worst else ""),
        _unusable([finding for finding in findings if finding.kind == "unusable"]),
    ]
    return framed(f"{name}: data check", name, "What is wrong with the data", facts, sections, STYLE + _hiding(kinds))


def _badness(several: Sequence[Finding]) -> tuple[float, float]:
    """What is left out comes first; several findings are worse than one."""
    return (
        max((one.score for one in several if KINDS[one.kind].rejects), default=0.0),
        sum(one.score for one in several),
    )


def _summary(findings: Sequence[Finding], notes: Sequence[str]) -> str:
    counts = Counter(finding.kind for finding in findings)
    rows = [
        [escape(kind.title) + f"<small>{escape(kind.meaning)}</small>", f"{counts[key]:,}", REJECTED[kind.rejects]]
        for key, kind in KINDS.items()
        if counts[key]
    ]
    told = table("What was found", ["kind", "findings", "--fix"], rows) if rows else ""
    return section("What was found", told, *(f"<p>{escape(note)}</p>" for note in notes))


def _filter(kinds: Mapping[str, int]) -> str:
    options = [("all", "all", sum(kinds.values()))]
    options += [(key, KINDS[key].title, kinds[key]) for key in KINDS if key in kinds]
    buttons = "".join(
        f'<label><input type="radio" name="kind" id="only-{key}"{" checked" if key == "all" else ""}>'
        f"{escape(title)} ({count:,})</label>"
        for key, title, count in options
    )
    return f"<fieldset><legend>Show</legend>{buttons}</fieldset>"


def _hiding(kinds: Mapping[str, int]) -> str:
    return "".join(
        f"body:has(#only-{key}:checked) .found > li:not(.is-{key}) {{ display: none; }}\n"
        for key in KINDS
        if key in kinds
    )


def _card(entries: Sequence[Entry], number: int, several: Sequence[Finding]) -> str:
    name = entries[number].picture.name
    pictures = [_thumbnail(entries[number], f"Picture {name}")]
    pictures += [_thumbnail(entries[other], "The other one") for other in _others(several)]
    lines = "".join(_line(finding) for finding in several)
    classes = " ".join(dict.fromkeys(f"is-{finding.kind}" for finding in several))
    captions = "".join(f"<p><q>{escape(_short(text))}</q></p>" for text in _untold(entries[number], several))
    return (
        f'<li class="{classes}"><div class="shown">{"".join(pictures)}</div>'
        f'<div class="told"><h3>{escape(name)}</h3>{lines}{captions}</div></li>'
    )


def _line(finding: Finding) -> str:
    caption = f"<br><q>{escape(_short(finding.caption))}</q>" if finding.caption is not None else ""
    repaired = f"<br>repaired: <q>{escape(_short(finding.repaired))}</q>" if finding.repaired else ""
    title = escape(KINDS[finding.kind].title)
    return (
        f"<p><strong>{title}</strong> <small>score {finding.score:.2f}</small>{escape(_short(finding.reason))}"
        f"{caption}{repaired}</p>"
    )


def _others(several: Sequence[Finding]) -> list[int]:
    return list(dict.fromkeys(finding.other for finding in several if finding.other is not None))[:1]


def _untold(entry: Entry, several: Sequence[Finding]) -> list[str]:
    """A caption of a picture of which none is spoken of."""
    return [] if any(finding.caption for finding in several) else list(entry.captions[:1])


def _thumbnail(entry: Entry, alt: str) -> str:
    try:
        picture = opened(entry)
    except PictureError:
        return "<p>It can no longer be opened.</p>"
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img src="{data_uri(picture, SIDE)}" alt="{escape(alt)}" {size}>'


def _unusable(findings: Sequence[Finding]) -> str:
    rows = [[escape(_short(finding.where)), escape(_short(finding.reason))] for finding in findings[:UNSHOWN]]
    more = f"The first {UNSHOWN} of {len(findings):,}; findings.jsonl holds all." if len(findings) > UNSHOWN else ""
    return section("Not usable", table("Not usable", ["file", "reason"], rows) if rows else "", note=more)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."
