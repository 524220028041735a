"""Axes: where numbers lie on a page, and at which round numbers ticks stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ROUND = (1, 2, 5, 10)


@dataclass(frozen=True)
class Axis:
    """From numbers to places along a line; `logarithmic` for numbers above 0 of several magnitudes."""

    low: float
    high: float
    start: float  # the places of low and high
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers between both ends, about so many."""
        if self.logarithmic:
            return _powers(self.low, self.high, about)
        step = _round_step((self.high - self.low) / about)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis(values: Sequence[float], start: float, end: float, *, logarithmic: bool = False) -> Axis:
    """An axis that has room for all values; equal ones stand in its middle."""
    low, high = min(values), max(values)
    if low == high:
        low, high = (low / 2, high * 2) if logarithmic else (low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2)
    return Axis(low, high, start, end, logarithmic)


def is_wide(values: Sequence[float], times: float = 30) -> bool:
    """Whether positive numbers are of several magnitudes, so that only a logarithm shows them all."""
    return min(values) > 0 and max(values) / min(values) > times


def short(value: float) -> str:
    """A number as short as it can be read: 0.05, 12, 3k, 1.5M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:.3g}"


def _round_step(step: float) -> float:
    magnitude = 10 ** math.floor(math.log10(step))
    return next(each * magnitude for each in ROUND if each * magnitude >= step * (1 - 1e-9))


def _powers(low: float, high: float, about: int) -> list[float]:
    """Powers of ten; with 2 and 5 times those, or linear ticks, where there are too few of them."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / (about + 2))]
    return ticks
