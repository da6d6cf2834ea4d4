"""What a device said of one model: numbers that are what their names say."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workers.target import Target

__all__ = ["Measurement", "MeasurementError"]


class MeasurementError(ValueError):
    """A worker reported something that cannot be a measurement."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Latency of one architecture on one target, timed by the protocol of `workers.timing`.

    Attributes:
        digest: of the architecture.
        target: where it ran.
        latency_ms: median time of one call, drift divided out by the interleaved reference model.
        spread_ms: half the distance between the 16th and 84th percentile of single calls.
        error_ms: standard error of `latency_ms`.
        wall_ms: median wall-clock time of the same calls, drift left in.
        reference_ms: what the reference model takes on this target when undisturbed; every
            measurement of a target is expressed against the same value.
        drift: this session's reference time over `reference_ms`; 1 on an undisturbed device.
        peak_memory_bytes: the process's peak resident growth; 0 where the runtime cannot tell.
        repeats: calls that counted.
        rejected: calls thrown away as disturbed (wall time well over processor time).
        noisy: the standard error stayed above the protocol's goal when the cap was reached, or the device
            was so busy that disturbed calls had to count.
        measured_at: seconds since the epoch by the service's clock; 0 until the service has it.
    """

    digest: str
    target: Target
    latency_ms: float
    spread_ms: float
    error_ms: float
    wall_ms: float
    reference_ms: float
    drift: float
    peak_memory_bytes: int
    repeats: int
    rejected: int
    noisy: bool
    measured_at: float = 0.0

    def __post_init__(self) -> None:
        for name in ("latency_ms", "wall_ms", "reference_ms", "drift"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise MeasurementError(
                    f"{name} is {value!r} for {self.digest}; a finite number above 0 is accepted"
                )
        for name in ("spread_ms", "error_ms", "peak_memory_bytes", "rejected", "measured_at"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise MeasurementError(
                    f"{name} is {value!r} for {self.digest}; a finite number from 0 is accepted"
                )
        if self.repeats < 1:
            raise MeasurementError(f"repeats is {self.repeats} for {self.digest}; at least 1 is accepted")
