"""One trace on a page: its picture, its words with their tokens, and what the page's program knows of it."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from sfumato.pages.marks import table
from sfumato.pipelines.trace import Token, Trace, TracedStep, Word
from sfumato.server.xray.kept import kept
from sfumato.server.xray.looks import ACROSS, FEW_PIXELS, TILE, noise_picture, uri
from sfumato.server.xray.maps import View, sheets, views

LARGE, SMALL = 384, 128  # pixels a side, at most: of the picture, and of what is shown of each step
MOST_TOKENS = 400  # in the table


def panel(trace: Trace, number: int = 0, title: str = "") -> str:
    """The picture, on which maps are laid, beside the words; `number` tells panels of one page apart."""
    looked = views(trace)
    maps = sheets(trace, looked)
    picture = trace.picture
    few = " pixels" if max(picture.size) <= FEW_PIXELS else ""
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    hint = (
        "Point at a word, or press it, to see where it acts."
        if maps
        else "No attention was recorded: this model hears the prompt as a whole."
    )
    return (
        f'<div class="panel" data-panel="{number}">{heading}<div class="sides">'
        f'<div class="stage{few}"><img class="shown" src="{uri(picture, LARGE)}" alt="{escape(_alt(trace))}" '
        f'width="{picture.width}" height="{picture.height}"><canvas aria-hidden="true"></canvas></div>'
        f'<div class="reading"><div class="words" role="group" aria-label="Words of the prompt">'
        f"{_words(trace, set(maps))}</div>"
        f'<p class="where" aria-live="polite" data-rest="{escape(hint)}">{escape(hint)}</p>{_tokens(trace)}</div></div>'
        f'<script type="application/json">{as_json(known(trace, looked, maps))}</script></div>'
    )


def known(trace: Trace, looked: list[View], maps: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """What the page's program knows of a trace, as JSON values."""
    first = 0
    shown = []
    for view in looked:
        shown.append({"name": view.name, "first": first, "steps": view.steps})
        first += 1 + len(view.steps)
    return {
        "tile": TILE,
        "across": ACROSS,
        "views": shown,
        "words": {place: {"text": trace.words[place].text, **told} for place, told in maps.items()},
        "alt": _alt(trace),
        "steps": [{"place": place, **_step(trace.steps[place])} for place in kept(trace)],
    }


def _step(step: TracedStep) -> dict[str, Any]:
    pictures = {
        "noisy": step.noisy_picture,
        "noise": noise_picture(step.noise),
        "conditional": step.conditional_picture,
        "unconditional": step.unconditional_picture,
        "guidance": step.guidance_picture,
    }
    told = {name: uri(picture, SMALL) for name, picture in pictures.items() if picture is not None}
    return {"step": step.step, "steps": step.steps, "level": f"α {step.alpha:.3f}, σ {step.sigma:.3f}", **told}


def _alt(trace: Trace) -> str:
    return f"Picture made for: {trace.request.prompt[:200]}"


def _words(trace: Trace, mapped: set[int]) -> str:
    return "\n".join(_word(place, word, place in mapped) for place, word in enumerate(trace.words))


def _word(place: int, word: Word, mapped: bool) -> str:
    pieces = " ".join(f"<i>{escape(spelled(token.text))}</i>" for token in _first_tokens(word))
    told = f'<span class="tokens">{pieces}</span>' if pieces else ""
    weight = f'<span class="weight">×{word.weight:g}</span>' if word.weight != 1 else ""
    unknown = "" if word.known else '<span class="unknown">unknown</span>'
    kind = "word" if word.known else "word strange"
    inside = f"<b>{escape(word.text)}</b>{weight}{told}{unknown}"
    if not mapped:
        return f'<span class="{kind}">{inside}</span>'
    return f'<button type="button" class="{kind}" data-word="{place}" aria-pressed="false">{inside}</button>'


def spelled(token: str) -> str:
    """A token without its vocabulary's marks of where words begin or end."""
    return token.removesuffix("</w>").lstrip("▁Ġ") or token


def _first_tokens(word: Word) -> list[Token]:
    """Those of the first tokenizer that reads it; others of a model read nearly the same."""
    return [token for token in word.tokens if token.tokenizer == word.tokens[0].tokenizer]


def _tokens(trace: Trace) -> str:
    """Every token of every word, folded away."""
    rows = [
        [escape(word.text), escape(token.tokenizer), f"<code>{escape(token.text)}</code>", str(token.id)]
        for word in trace.words
        for token in word.tokens
    ]
    if not rows:
        return ""
    told = table("Tokens", ["word", "tokenizer", "token", "number"], rows[:MOST_TOKENS])
    return f"<details><summary>What the tokenizer made of it: {len(rows)} tokens</summary>{told}</details>"


def as_json(values: dict[str, Any]) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
