"""The architecture that a job's models prove best within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.point import Point

__all__ = ["Optimum"]


@dataclass(frozen=True, slots=True)
class Optimum:
    """What no other architecture of the space beats by the job's additive models, and what is known of it.

    Attributes:
        point: the architecture, with its costs and predicted latencies; with its quality and its measured
            latencies too where it was evaluated and measured.
        quality, quality_std: what the model of all evaluations so far expects of its validation quality, and
            how far off that may be for a candidate never evaluated; what it scored, where it was evaluated,
            is the point's.
        gap: how much better, relative to `quality`, anything could still be by the models; 0 where it is
            proved optimal.
        exact: whether latencies and costs are sums over layers, so that the models are what predicts
            elsewhere; otherwise they are the nearest such sums, and the optimum was checked against what
            they stand for.
        evaluations: that the model of quality was learned from.
        seconds: that the answer took, learning included.
        measured: whether it meets the bounds by what was measured of it, not by prediction alone.
        refuted: points that would be better by the models, and that measurement has shown outside the bounds.
    """

    point: Point
    quality: float
    quality_std: float
    gap: float
    exact: bool
    evaluations: int
    seconds: float
    measured: bool = False
    refuted: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "point": self.point.to_dict(),
            "verified": self.point.verified,
            "quality": {"predicted": self.quality, "predicted_std": self.quality_std},
            "gap": self.gap,
            "exact": self.exact,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "bounds_met_by": "measured" if self.measured else "predicted",
            "refuted": self.refuted,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Optimum:
        """Inverse of `to_dict`."""
        return cls(
            point=Point.from_dict(data["point"]),
            quality=data["quality"]["predicted"],
            quality_std=data["quality"]["predicted_std"],
            gap=data["gap"],
            exact=data["exact"],
            evaluations=data["evaluations"],
            seconds=data["seconds"],
            measured=data.get("bounds_met_by") == "measured",
            refuted=data.get("refuted", 0),
        )
