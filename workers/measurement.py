"""What a device said of one model: numbers that are what their names say."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from workers.target import Target

__all__ = ["Measurement", "MeasurementError", "Reading"]


class MeasurementError(ValueError):
    """A worker reported something that cannot be a measurement."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a device said of a model once: see `Measurement`."""

    latency_ms: float
    error_ms: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """Latency of one architecture on one target, timed by the protocol of `workers.timing`.

    Attributes:
        digest: of the architecture.
        target: where it ran.
        latency_ms: median time of one call, drift divided out by the interleaved reference model; the
            number that everything is computed with.
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
        slowdown: times that the device was slower than undisturbed, by control models read around this
            measurement; divided out of `latency_ms` and `error_ms`. 1 where they told nothing.
        first: what the device said first, where control models told that it was disturbed then: it gave way
            to a second reading, or its slowdown was divided out. All but latency, error and slowdown are
            of that first measurement.
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
    slowdown: float = 1.0
    first: Reading | None = None

    def __post_init__(self) -> None:
        for name in ("latency_ms", "wall_ms", "reference_ms", "drift", "slowdown"):
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

    @property
    def as_first_read(self) -> Reading:
        """What the device said first, whatever control models told of it."""
        return self.first or Reading(self.latency_ms, self.error_ms)

    def corrected(self, reading: Reading, slowdown: float) -> Measurement:
        """With another reading in place of the first, its slowdown divided out."""
        first = self.as_first_read
        return replace(
            self,
            latency_ms=reading.latency_ms / slowdown,
            error_ms=reading.error_ms / slowdown,
            slowdown=slowdown,
            first=None if (reading, slowdown) == (first, 1.0) else first,
        )
