"""Sizes and counts as people read them."""

from __future__ import annotations

__all__ = ["readable_bytes", "readable_count", "readable_share"]


def readable_bytes(size: float) -> str:
    """With a binary unit, e.g. ``"64.0 KiB"``."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def readable_count(count: float) -> str:
    """With a decimal suffix, e.g. ``"812 k"``, ``"1.34 M"``."""
    for suffix, scale in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g}{suffix}"
    return f"{count:.0f}"


def readable_share(share: float) -> str:
    """``0.834`` → ``"83%"``; of what is little the first digit: ``"0.4%"``."""
    return f"{share:.0%}" if share >= 0.01 or share == 0 else f"{share:.1%}"
