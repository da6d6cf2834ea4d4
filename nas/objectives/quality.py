"""What the supernet scores: the task's own metric."""

from __future__ import annotations

from nas.objectives.kind import ObjectiveKind, register_objective
from nas.objectives.objective import Direction, Objective, Source

__all__ = ["QUALITY", "Quality", "quality_objective"]

QUALITY = "quality"


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
