"""What the supernet scores: the task's own metric."""

from __future__ import annotations

from nas.objectives.kind import ObjectiveKind, register_objective
from nas.objectives.objective import Direction, Objective, Source

__all__ = ["FINE_TUNED", "QUALITY", "TEST", "Quality", "quality_objective"]

QUALITY = "quality"

TEST = "test"
"""The same on the test split, which nothing is optimised by: no kind of objective, but like quality something
that a point has a value of on each target, where number formats differ."""

FINE_TUNED = "fine_tuned"
"""The same after a few steps on from the supernet's weights: a rung below training alone, not of targets."""


@register_objective(QUALITY)
class Quality(ObjectiveKind):
    """On the validation split. Unit and direction are the task's."""

    unit = ""
    label = "quality"
    source = Source.EVALUATED
    per_target = False


def quality_objective(metric: str, direction: Direction) -> Objective:
    """Of a task."""
    return Objective(QUALITY, metric, direction, Source.EVALUATED)
