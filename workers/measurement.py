"""What a device said of one model: numbers that are what their names say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from workers.target import Target

__all__ = ["Correction", "Measurement", "MeasurementError", "Reading"]


class MeasurementError(ValueError):
    """A worker reported something that cannot be a measurement."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a device said of a model once: see `Measurement`."""

    latency_ms: float
    error_ms: float


@dataclass(frozen=True, slots=True)
class Correction:
    """What stands in for the latency that a disturbed device gave.

    Attributes:
        latency_ms, error_ms: of the undisturbed device: a later reading, or the first one, `slowdown` divided
            out.
        slowdown: times that the device was slower than undisturbed, by control models read around the
            reading; 1 where the reading counts as it is.
    """

    latency_ms: float
    error_ms: float
    slowdown: float = 1.0

    def __post_init__(self) -> None:
        for name in ("latency_ms", "slowdown"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise MeasurementError(
                    f"{name} of a correction is {getattr(self, name)!r}; accepted: a finite number above 0"
                )
        if not (math.isfinite(self.error_ms) and self.error_ms >= 0):
            raise MeasurementError(
                f"error_ms of a correction is {self.error_ms!r}; accepted: a finite number of at least 0"
            )

    @classmethod
    def of(cls, reading: Reading, slowdown: float = 1.0) -> Self:
        """The reading with so much of a slowdown divided out."""
        return cls(reading.latency_ms / slowdown, reading.error_ms / slowdown, slowdown)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Latency of one architecture on one target, timed by the protocol of `workers.timing`.

    Attributes:
        digest: of the architecture.
        target: where it ran.
        latency_ms: median time of one call (of one token, where it decodes), drift divided out by the
            interleaved reference model.
        spread_ms: half the distance between the 16th and 84th percentile of samples.
        error_ms: standard error of `latency_ms`.
        wall_ms: median wall-clock time of the same calls, drift left in.
        reference_ms: what the reference model takes on this target when undisturbed; every
            measurement of a target is expressed against the same value.
        drift: this session's reference time over `reference_ms`; 1 on an undisturbed device.
        peak_memory_bytes: the process's peak resident growth; 0 where the runtime cannot tell.
        repeats: samples that counted.
        rejected: samples thrown away as disturbed (wall time well over processor time).
        noisy: the standard error stayed above the protocol's goal when the cap was reached, or the device
            was so busy that disturbed calls had to count.
        calls: in a row, of which one sample consisted: tokens of decoding; times are of one.
        conditions: what the device said of its clock rates meanwhile; empty where it says nothing.
        attention: form in which the file computes causal softmax attention (`nas.export.attention`), ``in
            place`` where tokens that are decoded append to what is kept; empty where an engine does so by
            itself, where each token copies what is kept, and where it was not noted yet.
        measured_at: seconds since the epoch by the service's clock; 0 until the service has it.
        correction: what stands in for `latency_ms` and `error_ms` where control models told that the device
            was disturbed; everything else is of the measurement itself.
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
    calls: int = 1
    conditions: str = ""
    attention: str = ""
    measured_at: float = 0.0
    correction: Correction | None = None

    def __post_init__(self) -> None:
        for name in ("latency_ms", "wall_ms", "reference_ms", "drift"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise MeasurementError(
                    f"{name} is {value!r} for {self.digest}; accepted: a finite number above 0"
                )
        for name in ("spread_ms", "error_ms", "peak_memory_bytes", "rejected", "measured_at"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise MeasurementError(
                    f"{name} is {value!r} for {self.digest}; accepted: a finite number of at least 0"
                )
        for name in ("repeats", "calls"):
            if getattr(self, name) < 1:
                raise MeasurementError(
                    f"{name} is {getattr(self, name)} for {self.digest}; accepted: at least 1"
                )

    @property
    def reading(self) -> Reading:
        """What the device said, whatever control models told of it."""
        return Reading(self.latency_ms, self.error_ms)

    @property
    def corrected(self) -> Reading:
        """What the undisturbed device takes, as far as is known: what everything is computed with."""
        correction = self.correction
        return self.reading if correction is None else Reading(correction.latency_ms, correction.error_ms)

    @property
    def slowdown(self) -> float:
        """What was divided out of the corrected latency; 1 where nothing was."""
        return 1.0 if self.correction is None else self.correction.slowdown
