"""More like these: what is asked for when a person picks the better pictures and wants to see others near them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import fields, replace

from sfumato.pipelines.request import Request

AT_ONCE = 4  # variations in a round


def near(requests: Sequence[Request], amount: float, count: int = AT_ONCE) -> list[Request]:
    """Requests whose pictures are like those of the given ones: as many of each, together at least `count`.

    Args:
        requests: what the better pictures were made from.
        amount: how far they lie away, from 0, the same, to 1, another seed altogether.
        count: how many are wanted.
    """
    each = -(-count // len(requests))
    return [_beside(request, amount) for request in requests for _ in range(each)]


def _beside(request: Request, amount: float) -> Request:
    other = secrets.randbits(32)
    if {"variation", "variation_seed"} <= {field.name for field in fields(Request)}:
        return replace(request, variation=amount, variation_seed=other)  # type: ignore[call-arg]
    return replace(request, seed=other)
