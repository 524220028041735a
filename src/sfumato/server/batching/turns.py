"""Who comes next: owners take turns, and of each the oldest is first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_turn(
    items: Sequence[T],
    owner: Callable[[T], str],
    had: Mapping[str, int] | None = None,
    last: Mapping[str, int] | None = None,
) -> list[T]:
    """Items in the order in which they come: the first of each owner, then the second of each, and so on.

    Args:
        items: oldest first.
        owner: of an item.
        had: how many turns owners had already in this round.
        last: when each owner was served last, as a rising number; those who wait longest go first.

    Example:
        >>> in_turn(["a1", "a2", "a3", "b1", "b2", "c1"], lambda item: item[0])
        ['a1', 'b1', 'c1', 'a2', 'b2', 'a3']
        >>> in_turn(["a1", "a2", "b1"], lambda item: item[0], had={"a": 1})
        ['b1', 'a1', 'a2']
    """
    turns, before, ranked = Counter(had or {}), last or {}, []
    for place, item in enumerate(items):
        who = owner(item)
        ranked.append((turns[who], before.get(who, -1), place))
        turns[who] += 1
    return [items[place] for *_, place in sorted(ranked)]
