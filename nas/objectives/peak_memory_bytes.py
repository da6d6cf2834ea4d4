"""How much memory a model takes at its peak on a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.objectives.kind import Measured, Observation, register_objective

if TYPE_CHECKING:
    from workers.measurement import Measurement

__all__ = ["PeakMemory"]


@register_objective("peak_memory_bytes")
class PeakMemory(Measured):
    """Resident growth while a model is loaded and run, as its worker tells it. It is no sum over layers:
    weights add up, while only the largest layer's values are alive at once."""

    unit = "bytes"
    label = "peak memory"
    aliases = ("memory",)
    predictor = "peak"

    @classmethod
    def observed(cls, measurement: Measurement) -> Observation | None:
        """See `Measured.observed`; a worker that cannot tell says 0."""
        peak = measurement.peak_memory_bytes
        return Observation(float(peak)) if peak else None
