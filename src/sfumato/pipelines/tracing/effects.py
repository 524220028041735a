"""Prompts in which a word is another, or is missing."""

from __future__ import annotations

import re

from sfumato.pipelines.trace import Trace

EMPTY = re.compile(r"\(\s*(?::\s*[-+]?[\d.]+\s*)?\)|\[\s*\]")  # brackets around nothing
BLANKS = re.compile(r"[ \t]{2,}")


def reworded(trace: Trace, word: int | str, other: str) -> str:
    """The prompt of a trace with something else in the place of a word, or nothing.

    Where nothing is left in brackets they go too. Raises PromptError where there is no such word.
    """
    found = [trace.words[number] for number in trace.find(word)]
    prompt = trace.request.prompt
    said = prompt[: found[0].start] + other + prompt[found[-1].end :]
    if other.strip():
        return said
    while (fewer := EMPTY.sub("", said)) != said:
        said = fewer
    return BLANKS.sub(" ", said).strip()
