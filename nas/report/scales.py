"""Axes: from values to pixels, and where ticks stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

__all__ = [
    "Scale",
    "amount_scale",
    "amount_ticks",
    "ends",
    "is_logarithmic",
    "linear_scale",
    "linear_ticks",
    "padded",
]

Scale = Callable[[float], float]
"""From a value to a pixel."""

LEADING = (1, 1.5, 2, 3, 4, 5, 6, 8)
"""Digits of the ticks within a decade."""
FEWEST = 3
"""Ticks that tell a logarithmic axis from a linear one."""
INDISTINCT = 1e-9
"""Relative difference below which values share one place, with this much room around it:"""
ROOM = 0.1
MARGIN = 0.06
"""Empty share of the axis beyond the outermost values, on either side."""


def padded(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis that holds the values with some room beyond them."""
    low, high = min(values), max(values)
    distinct = high - low > INDISTINCT * max(1.0, abs(low), abs(high))
    margin = MARGIN * (high - low) if distinct else ROOM
    return low - margin, high + margin


def linear_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """Values onto pixels `start` to `end` (which may run backwards)."""
    low, high = padded(values)
    return lambda value: start + (value - low) / (high - low) * (end - start)


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether the axis of such amounts is: one of 0, as the state of a model without mixers, has no place
    there."""
    return min(values) > 0


def ends(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis of amounts, ≥ 0: their decimal logarithms where it is logarithmic."""
    return padded([math.log10(value) for value in values] if is_logarithmic(values) else values)


def amount_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """Amounts, ≥ 0, onto pixels: logarithmic where they can be, else linear."""
    if not is_logarithmic(values):
        return linear_scale(values, start, end)
    scale = linear_scale([math.log10(value) for value in values], start, end)
    return lambda value: scale(math.log10(value)) if value > 0 else -math.inf


def linear_ticks(values: Sequence[float], about: int = 6) -> list[float]:
    """Round numbers on an axis that holds the values, about so many."""
    return _round_between(*padded(values), about)


def amount_ticks(values: Sequence[float]) -> list[float]:
    """Round numbers on an axis of amounts, ≥ 0: several a decade of a logarithmic one, or evenly spaced ones
    where those are too far apart."""
    if not is_logarithmic(values):
        return [tick for tick in linear_ticks(values) if tick >= 0]
    low, high = (10.0**end for end in ends(values))
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [lead * 10.0**decade for decade in decades for lead in LEADING]
    within = [tick for tick in ticks if low <= tick <= high]
    return within if len(within) >= FEWEST else _round_between(low, high, about=5)


def _round_between(low: float, high: float, about: int) -> list[float]:
    rough = (high - low) / about
    decade = 10.0 ** math.floor(math.log10(rough))
    step = min((lead * decade for lead in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / rough)))
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
