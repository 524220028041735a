"""The X-ray page of a picture, or of two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sfumato.evaluation.neighbours import Neighbour
from sfumato.pages.frame import framed
from sfumato.pages.marks import section
from sfumato.pipelines.trace import Trace
from sfumato.server.xray.effects import Effect, word_by_word
from sfumato.server.xray.nearest import nearest
from sfumato.server.xray.panel import panel
from sfumato.server.xray.path import paths
from sfumato.server.xray.settings import headline, settings
from sfumato.server.xray.steps import controls, pictures
from sfumato.server.xray.timetable import timetable

HERE = Path(__file__).parent
NOSCRIPT = '<noscript><p class="note">The slider and the words need this page\'s own script.</p></noscript>'
LONGEST_TITLE = 160  # characters of a prompt


def page(
    trace: Trace,
    others: Sequence[Trace] = (),
    effects: Sequence[Effect] = (),
    *,
    against: Trace | None = None,
    near: Sequence[Neighbour] = (),
) -> str:
    """One HTML document that needs nothing else: not the network, nor the model.

    Args:
        trace: of the picture.
        others: of the same prompt by other seeds, beside whose ways the latent's is drawn.
        effects: what single words of it do.
        against: of another prompt, shown side by side.
        near: training pictures like it, the nearest first.
    """
    prompt = shortened(trace.request.prompt)
    name = f"“{prompt}”" if against is None else "Two prompts, side by side"
    told = _sections(trace, others, effects, against, near)
    how = "How this picture emerged"
    return framed(f"{prompt}: X-ray", name, how, headline(trace), [told], style(), script())


def _sections(
    trace: Trace,
    others: Sequence[Trace],
    effects: Sequence[Effect],
    against: Trace | None,
    near: Sequence[Neighbour],
) -> str:
    traces = [trace] if against is None else [trace, against]
    titles = [""] if against is None else [f"“{shortened(one.request.prompt)}”" for one in traces]
    panels = "".join(panel(one, number, titles[number]) for number, one in enumerate(traces))
    first = section("Where each word acts", f'<div class="panels of-{len(traces)}">{panels}</div>', controls(traces))
    beside = [*others, *traces[1:]]
    told = [
        NOSCRIPT,
        first,
        pictures(traces, titles),
        word_by_word(trace.picture, effects),
        timetable(traces, titles),
        paths(trace, beside),
        nearest(near),
        settings(traces, titles),
    ]
    return f'<div class="xray">{"".join(told)}</div>'


def style() -> str:
    """CSS of these pages, besides that of every page."""
    return (HERE / "style.css").read_text(encoding="utf-8")


def script() -> str:
    """The program that moves the page of a picture."""
    return (HERE / "script.js").read_text(encoding="utf-8")


def shortened(prompt: str) -> str:
    """A prompt as a title."""
    return prompt if len(prompt) <= LONGEST_TITLE else f"{prompt[:LONGEST_TITLE]} ..."
