"""The way from noise to the picture: a slider, and what there was at the step where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sfumato.pages.marks import section
from sfumato.pipelines.trace import Trace
from sfumato.server.xray.kept import kept
from sfumato.server.xray.looks import FEW_PIXELS, uri
from sfumato.server.xray.maps import views

ESTIMATE = 256  # pixels a side at most of an estimate, which may take the picture's place
PICTURES = {  # of a step: title, and what it is
    "noisy": ("Began with", "what the step began with"),
    "clean": ("Estimate", "what the network took the clean picture for"),
    "noise": ("Predicted noise", "the noise that the network saw; of latents, the first three channels"),
    "conditional": ("With the prompt", "the estimate that the prompt alone asks for"),
    "unconditional": ("Without it", "the estimate without the prompt, or of the negative one"),
    "guidance": ("Guidance adds", "what guidance changes in the estimate: middle grey is nothing"),
}


def controls(traces: Sequence[Trace]) -> str:
    """What moves all panels of a page: the slider, and which attention is shown."""
    last = max(len(kept(trace)) for trace in traces)
    looked = max((views(trace) for trace in traces), key=len)
    choice = ""
    if any(trace.layers for trace in traces):
        options = "".join(
            f'<option value="{number}">{escape(view.name)}</option>' for number, view in enumerate(looked)
        )
        choice = (
            '<fieldset class="when"><legend>Attention of</legend>'
            '<label><input type="radio" name="when" value="all" checked>all steps</label>'
            '<label><input type="radio" name="when" value="one">this step</label></fieldset>'
            f'<label class="view">in <select>{options}</select></label>'
        )
    return (
        '<div class="controls"><div class="slider"><button type="button" class="play">Play</button>'
        f'<label>Step <input type="range" min="0" max="{last - 1}" value="{last - 1}"></label>'
        f"<output></output></div>{choice}</div>"
    )


def pictures(traces: Sequence[Trace], titles: Sequence[str]) -> str:
    """The pictures of the step where the slider stands, and all estimates in a row."""
    rows = [_row(trace, number, titles[number]) for number, trace in enumerate(traces)]
    note = "One step: the network looks at something noisy and says what it takes the clean picture for."
    return section("Step by step", *rows, note=note)


def _row(trace: Trace, number: int, title: str) -> str:
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    guided = any(step.unconditional_picture is not None for step in trace.steps)
    names = [name for name in PICTURES if guided or name in ("noisy", "clean", "noise")]
    few = " pixels" if max(trace.picture.size) <= FEW_PIXELS else ""
    figures = "".join(
        f'<figure><img data-kind="{name}" data-title="{PICTURES[name][0]}" alt="{PICTURES[name][0]}" width="128" '
        f'height="128"><figcaption>{PICTURES[name][0]}<span class="seed"></span><small>{PICTURES[name][1]}</small>'
        "</figcaption></figure>"
        for name in names
    )
    strip = "".join(
        f'<li><img src="{uri(step.clean_picture, ESTIMATE)}" alt="Estimate at step {step.step}" '
        f'width="{step.clean_picture.width}" height="{step.clean_picture.height}"></li>'
        for step in (trace.steps[place] for place in kept(trace))
    )
    return (
        f'{heading}<div class="row{few}" data-panel="{number}"><div class="looks">{figures}</div>'
        f'<ol class="strip" aria-label="The estimates of all steps" style="--steps:{len(kept(trace))}">{strip}</ol>'
        "</div>"
    )
