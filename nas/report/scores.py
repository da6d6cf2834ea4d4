"""What the tables of a front show of each point's quality, the same wherever they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.front import Front
from nas.objectives.quality import FINE_TUNED, QUALITY, TEST
from nas.point import Point
from nas.report.describe import describe_delivered, describe_quality, describe_score, readable_metric
from workers.target import Target

__all__ = ["ScoreColumn", "score_columns"]


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """One of them.

    Attributes:
        name: heading.
        unit: of the values, with the heading of those that a front goes by; empty elsewhere.
        cell: of a point.
    """

    name: str
    unit: str
    cell: Callable[[Point], str]

    @property
    def heading(self) -> str:
        """In one line, unit first."""
        return ", ".join(filter(None, (self.unit, self.name)))

    @property
    def short(self) -> str:
        """A word a line, unit last."""
        return "\n".join(filter(None, (*self.name.split(), self.unit)))


def score_columns(front: Front, target: Target) -> list[ScoreColumn]:
    """What is known of quality on a target: of the file that runs there where the target's number format is
    not that of training, and it is known; else validation and test, and what is delivered where some were
    trained alone."""
    unit = readable_metric(front.metric)
    if target.dtype != "fp32" and any(point.known(QUALITY, target) for point in front.points):
        return [
            ScoreColumn(target.dtype, unit, lambda point: describe_score(point.known(QUALITY, target))),
            ScoreColumn(f"{target.dtype} test", "", lambda point: describe_score(point.known(TEST, target))),
        ]
    shown = [
        ScoreColumn("validation", unit, lambda point: describe_quality(point.validation)),
        ScoreColumn("test", "", lambda point: describe_quality(point.test)),
    ]
    if any(point.known(FINE_TUNED) for point in front.points):
        shown.insert(0, ScoreColumn("fine-tuned", "", lambda point: describe_score(point.known(FINE_TUNED))))
    if any(point.delivered for point in front.points):
        shown.insert(0, ScoreColumn("delivered", unit, describe_delivered))
    if any(point.tuned for point in front.points):
        shown.append(
            ScoreColumn("tuned test", "", lambda p: describe_quality(p.tuned.test if p.tuned else None))
        )
    return shown
