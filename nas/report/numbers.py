"""Sizes and counts as people read them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "in_heading",
    "readable_bytes",
    "readable_count",
    "readable_share",
    "unit_of_axis",
    "written",
]

BYTES, MILLISECONDS = "bytes", "ms"


def readable_bytes(size: float) -> str:
    """With a binary unit, e.g. ``"64.0 KiB"``."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def readable_count(count: float) -> str:
    """With a decimal suffix, e.g. ``"812 k"``, ``"1.34 M"``."""
    shown = float(f"{count:.3g}")  # of 999,700, which are a million, no suffix is left out
    for suffix, scale in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if shown >= scale:
            return f"{shown / scale:.3g}{suffix}"
    return f"{count:.0f}"


def written(value: float, unit: str) -> str:
    """A value as people read it: bytes with a binary unit, milliseconds with two digits, what is large with
    a decimal suffix."""
    if unit == BYTES:
        return readable_bytes(value)
    if unit == MILLISECONDS:
        return f"{value:.2f}"
    rounded = float(f"{value:.3g}")
    return readable_count(value) if rounded >= 1000 or value == int(value) else f"{value:.3g}"


def in_heading(unit: str) -> str:
    """A unit that numbers do not carry themselves, for the head of their column; else nothing."""
    return unit if unit == MILLISECONDS else ""


def unit_of_axis(unit: str, values: Sequence[float]) -> tuple[str, float]:
    """What the numbers along an axis are to be divided by, and their unit then."""
    if unit == BYTES:
        scales: tuple[tuple[str, float], ...] = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
    elif unit == MILLISECONDS:
        scales = ()
    else:
        scales = (("G", 1e9), ("M", 1e6), ("k", 1e3))
    return next(((text, factor) for text, factor in scales if max(values) >= factor), (in_heading(unit), 1.0))


def readable_share(share: float) -> str:
    """``0.834`` → ``"83%"``; of what is little the first digit: ``"0.4%"``."""
    return f"{share:.0%}" if share >= 0.01 or share == 0 else f"{share:.1%}"
