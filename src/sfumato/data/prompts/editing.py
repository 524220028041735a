"""Prompts that change while a picture is made, in A1111's words: [from:to:when] and [one|other].

AUTOMATIC1111's stable-diffusion-webui 1.7 is followed: a prompt in which a bar stands outside of brackets does not
change at all, and brackets without partner are text. (Where brackets do not balance, its grammar can be read in several
ways, and now and then it takes one in which a bracket does not change that could.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

MARKS = re.compile(r"(?:[^\\\[\]():|]|\\.)+|[\[\]():|]|\\")
WHEN = re.compile(r"\s*([-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?)\s*\Z")


@dataclass
class _Group:
    """An open bracket, or one of which the partner is known: what is in it, between its colons and bars."""

    bracket: str
    place: int
    parts: list[list[str | _Group]] = field(default_factory=lambda: [[]])
    marks: list[str] = field(default_factory=list)
    when: str | None = None  # of a group that changes from one part to the next at a step

    @property
    def changes(self) -> bool:
        return self.when is not None or "|" in self.marks


def first_edit(text: str) -> int | None:
    """Where the first bracket opens that makes a prompt change, counted from 0; None when it stays as it is."""
    places = [group.place for group in _edits(_parsed(text))]
    return min(places) if places else None


def schedule(text: str, steps: int) -> list[tuple[int, str]]:
    """The texts of a prompt, each with the last step, 1 to `steps`, that it is for.

    `when` is a step, or, written with a point, a share of all steps. Alternatives take turns, a step each.

    Example:
        >>> schedule("a [cat:dog:0.5] in [red|blue]", 4)
        [(1, 'a cat in red'), (2, 'a cat in blue'), (3, 'a dog in red'), (4, 'a dog in blue')]
    """
    return [(end, at(text, end, steps)) for end in ends(text, steps)]


def ends(text: str, steps: int) -> list[int]:
    """The steps, 1 to `steps`, after which a prompt says something else; the last one always is there."""
    found = {steps}
    for group in _edits(_parsed(text)):
        if group.when is None:
            found.update(range(1, steps + 1))
        elif (last := _last_step(group.when, steps)) >= 1:
            found.add(last)
    return sorted(found)


def at(text: str, step: int, steps: int) -> str:
    """What a prompt says at a step, 1 to `steps`."""
    return _at(_parsed(text), step, steps)


def _last_step(when: str, steps: int) -> int:
    share = float(when) * (steps if "." in when else 1)
    return int(max(min(share, steps), -1))  # "1e999" is the end


@lru_cache(4)  # asked for at every step
def _parsed(text: str) -> list[str | _Group]:
    top: list[str | _Group] = []
    open_: list[_Group] = []
    for mark in MARKS.finditer(text):
        found = mark[0]
        if found in "([":
            open_.append(_Group(found, mark.start()))
        elif found in ":|":
            if open_:
                open_[-1].marks.append(found)
                open_[-1].parts.append([])
            elif found == "|":
                return [text]
            else:
                top.append(found)
        elif found in ")]" and open_ and _closes(open_[-1], found):
            group = open_.pop()
            (open_[-1].parts[-1] if open_ else top).append(group)
        else:
            if found in ")]":  # without partner: so are all that are open, since this stands in them
                if any("|" in group.marks for group in open_):
                    return [text]
                _dissolve(open_, top)
            elif found == "\\":
                return [text]
            (open_[-1].parts[-1] if open_ else top).append(found)
    if any("|" in group.marks for group in open_):
        return [text]
    _dissolve(open_, top)
    return top


def _closes(group: _Group, bracket: str) -> bool:
    """Whether a bracket ends the open group, which then is emphasis, alternates or changes at a step."""
    if group.bracket == "(":
        return bracket == ")" and group.marks in ([], [":"])
    if bracket != "]" or len(set(group.marks)) > 1 or (":" in group.marks and len(group.marks) > 2):
        return False
    if ":" in group.marks:
        last = group.parts[-1]
        match = WHEN.match(last[0]) if len(last) == 1 and isinstance(last[0], str) else None
        if not match:
            return False
        group.when = match[1]
    return True


def _dissolve(open_: list[_Group], top: list[str | _Group]) -> None:
    for group in open_:
        top.append(group.bracket)
        top.extend(_inside(group))
    open_.clear()


def _inside(group: _Group) -> list[str | _Group]:
    inside: list[str | _Group] = [*group.parts[0]]
    for mark, part in zip(group.marks, group.parts[1:], strict=True):
        inside += [mark, *part]
    return inside


def _edits(items: list[str | _Group]) -> list[_Group]:
    found, waiting = [], [*items]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _Group):
            if item.changes:
                found.append(item)
            waiting.extend(one for part in item.parts for one in part)
    return found


def _at(items: list[str | _Group], step: int, steps: int) -> str:
    """The text at a step; groups that do not change are written as they stand."""
    written, waiting = [], [*reversed(items)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            written.append(item)
        elif item.when is not None:
            *before, after, _ = item.parts
            waiting.extend(reversed(after if step > _last_step(item.when, steps) else [*before, []][0]))
        elif "|" in item.marks:
            waiting.extend(reversed(item.parts[(step - 1) % len(item.parts)]))
        else:
            closing = ")" if item.bracket == "(" else "]"
            waiting.extend([closing, *reversed(_inside(item)), item.bracket])
    return "".join(written)
