"""What is optimised, and what may be: see `nas.objectives.objective`."""

from nas.objectives.objective import Direction, Objective, Source

__all__ = ["Direction", "Objective", "Source"]
