"""What is asked of a worker, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from workers.measurement import Measurement
from workers.target import Target
from workers.timing import TimingProtocol

__all__ = ["DeviceNote", "MeasurementFailure", "MeasurementRequest", "Outcome"]


@dataclass(frozen=True, slots=True)
class MeasurementRequest:
    """One model to time on one target.

    Attributes:
        digest: of the architecture; the outcome carries it.
        target: where to time it.
        model: file in the format of the target's runtime (`workers.runtimes.ModelFormat`) that does its
            workload.
        reference: file of the fixed model that is timed in between.
        vocabulary: token ids are drawn below this; 1 where none go in.
        reference_ms: what the reference takes on this target when undisturbed, as an earlier measurement
            of the target reported it. None: the worker finds out, and reports it.
        protocol: how to time.
    """

    digest: str
    target: Target
    model: bytes = field(repr=False)
    reference: bytes = field(repr=False)
    vocabulary: int
    reference_ms: float | None = None
    protocol: TimingProtocol = field(default_factory=TimingProtocol)


@dataclass(frozen=True, slots=True)
class MeasurementFailure:
    """A measurement that was not taken.

    Attributes:
        digest: of the architecture.
        target: where it should have been timed.
        reason: for people.
        retryable: the device was at fault and not the model: asking again may succeed.
    """

    digest: str
    target: Target
    reason: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class DeviceNote:
    """What whoever waits for measurements should know of a device: no request's outcome.

    Attributes:
        device: its name.
        message: for people.
    """

    device: str
    message: str


Outcome: TypeAlias = Measurement | MeasurementFailure | DeviceNote
