"""What is optimised: kinds of objectives, each in a file of its own, and what they are in a job.

A new kind is one file here (or, where it is exact arithmetic, one entry of `searchspaces.counted`) and one
registration; see `docs/howto-objective.md`.
"""

from nas.objectives.objective import Direction, Objective, Source

__all__ = ["Direction", "Objective", "Source"]
