"""The X-ray page of a text: at each token, what might have come next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from sfumato.pages.frame import framed
from sfumato.pages.marks import section
from sfumato.pages.plots import curves
from sfumato.pipelines.language.tracing import NextToken, TextTrace
from sfumato.server.xray.page import HERE, shortened, style
from sfumato.server.xray.panel import as_json

MOST_TOKENS = 2000  # on a page
MOST_CANDIDATES = 20  # of each token
SURPRISES = ((0.5, "sure"), (0.1, "likely"), (0.01, "unlikely"))  # least probability; below the last it is "strange"
SIGNS = str.maketrans({" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"})

NOTE = (
    "The thicker the line below a token, the less the model expected it. Point at one to see what else might have come."
)


def text_page(trace: TextTrace, facts: Sequence[str] = ()) -> str:
    """One HTML document about a text; `facts` are told below the title."""
    steps = trace.steps[:MOST_TOKENS]
    bits = [-math.log2(max(step.chosen.probability, 1e-30)) for step in steps]
    counted = [f"{len(trace.steps)} tokens", f"{sum(bits) / max(1, len(bits)):.2f} bits a token"]
    title = shortened(trace.text.prompt) or "A text"
    name, told = f"“{title}”", [_sections(trace)]
    how, script = "How this text was written", (HERE / "writing.js").read_text(encoding="utf-8")
    return framed(f"{title}: X-ray", name, how, [*facts, *counted], told, style(), script)


def _sections(trace: TextTrace) -> str:
    steps = trace.steps[:MOST_TOKENS]
    if not steps:
        return section("The text", "<p>Nothing was written.</p>")
    tokens = "".join(
        f'<span class="token {surprise(step.chosen.probability)}" data-at="{at}">{_seen(step.chosen.text)}</span>'
        for at, step in enumerate(steps)
    )
    text = f'<p class="text"><span class="given">{escape(trace.text.prompt)}</span>{tokens}</p>'
    slider = (
        '<div class="controls"><div class="slider"><label>Token <input type="range" min="0" '
        f'max="{len(steps) - 1}" value="0"></label><output></output></div></div>'
    )
    beside = '<div class="next" role="group" aria-label="What might have come here"></div>'
    drawn = {
        "surprise": [(at, -math.log2(max(step.chosen.probability, 1e-30))) for at, step in enumerate(steps, 1)],
        "expected": [(at, step.entropy / math.log(2)) for at, step in enumerate(steps, 1)],
    }
    curve = curves("Surprise in bits", drawn, "token", marked=True)
    told = "bits: how surprising each token was, and how surprising the model expected one to be"
    data = as_json({"steps": [_step(step) for step in steps]})
    return (
        f'<div class="xray-text">{section("The text", text, slider, note=NOTE)}'
        f"{section('What might have come', beside)}"
        f'{section("Surprise", f"""<div class="plots"><figure>{curve}</figure></div>""", note=told)}'
        f'<script type="application/json">{data}</script></div>'
    )


def surprise(probability: float) -> str:
    """How a token of such a probability is called."""
    return next((name for least, name in SURPRISES if probability >= least), "strange")


def _step(step: NextToken) -> dict[str, Any]:
    shown = list(step.candidates[:MOST_CANDIDATES])
    if step.chosen.token not in [one.token for one in shown]:
        shown.append(step.chosen)
    return {
        "chosen": step.chosen.text.translate(SIGNS),
        "rank": step.rank,
        "kept": step.kept,
        "cut": round(step.cut, 4),
        "candidates": [
            [one.text.translate(SIGNS), round(one.probability, 6), round(one.chance, 6), one.token == step.chosen.token]
            for one in shown
        ],
    }


def _seen(text: str) -> str:
    """A token as it reads in the text; the end of a line is seen too."""
    return escape(text).replace("\n", '<span class="given">⏎</span>\n') or "∅"
