"""The colours and the typeface of every picture."""

from __future__ import annotations

__all__ = ["CELL", "FAINT", "FONT", "FRONT", "GRID", "INK", "MUTED", "PRESET"]

INK, MUTED, FAINT, GRID, CELL = "#1f2933", "#616e7c", "#9aa5b1", "#e4e7eb", "#f1f3f5"
FRONT, PRESET = "#0b69a3", "#c65102"
"""Blue and orange: told apart in every common form of colour blindness, and dark enough on white."""
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
