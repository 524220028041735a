"""What was asked for, and the whole recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from html import escape

from sfumato.pages.marks import section
from sfumato.pipelines.request import Request
from sfumato.pipelines.trace import Trace

ALWAYS = ("prompt", "seed", "num_inference_steps", "guidance_scale", "solver", "spacing")
UNTOLD = ("times",)  # long; the recipe has them
LONGEST = 20_000  # characters of a recipe on the page


def headline(trace: Trace) -> list[str]:
    """Short facts."""
    request = trace.request
    width, height = trace.picture.size
    return [
        f"seed {request.seed}",
        f"{request.num_inference_steps} steps of {request.solver}",
        f"guidance {request.scale:g}",
        f"{width} × {height}",
    ]


def settings(traces: Sequence[Trace], titles: Sequence[str]) -> str:
    """A section with the settings of each trace, and its recipe folded away."""
    told = [
        (f"<h3>{escape(title)}</h3>" if title else "") + _settings(trace)
        for trace, title in zip(traces, titles, strict=True)
    ]
    return section("What was asked for", *told)


def _settings(trace: Trace) -> str:
    request = trace.request
    asked = {
        field.name: getattr(request, field.name)
        for field in fields(Request)
        if field.name not in UNTOLD
        and (field.name in ALWAYS or getattr(request, field.name) not in (field.default, None, ""))
    }
    items = "".join(
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(str(value))}</dd></div>"
        for name, value in asked.items()
    )
    recipe = json.dumps(trace.recipe, ensure_ascii=False, indent=1, default=str)[:LONGEST]
    return f"<dl>{items}</dl><details><summary>The whole recipe</summary><pre>{escape(recipe)}</pre></details>"
