"""How long one call takes on a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.objectives.kind import Measured, Observation, register_objective

if TYPE_CHECKING:
    from workers.measurement import Measurement

__all__ = ["LATENCY", "Latency"]

LATENCY = "latency_ms"
"""Whatever else a job compares, this is what profiling learns first: how long a measurement takes follows."""


@register_objective(LATENCY)
class Latency(Measured):
    """Learned by the predictor that the job's profiling budget names."""

    unit = "ms"
    label = "latency"
    aliases = ("latency",)

    @classmethod
    def observed(cls, measurement: Measurement) -> Observation:
        """See `Measured.observed`."""
        reading = measurement.corrected
        return Observation(reading.latency_ms, reading.error_ms, measurement.slowdown)
