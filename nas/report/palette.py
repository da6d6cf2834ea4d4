"""The colours and the typeface of every picture."""

from __future__ import annotations

__all__ = ["CELL", "FAINT", "FONT", "FRONT", "GRID", "INK", "LINES", "MUTED", "PRESET"]

INK, MUTED, FAINT, GRID, CELL = "#1f2933", "#616e7c", "#9aa5b1", "#e4e7eb", "#f1f3f5"
FRONT, PRESET = "#0b69a3", "#c65102"
"""Blue and orange: told apart in every common form of colour blindness, and dark enough on white."""
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
LINES = ("#0b69a3", "#c65102", "#1b8a3a", "#9a3a94", "#8a5a2b", "#5a5fc0", "#d98200", "#0f8b8d")
"""One a curve where there are several."""
