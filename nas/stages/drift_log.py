"""What control models tell of a device's speed: readings in; slowdowns, what to measure again and corrections
out. Control models are architectures that are read again and again between batches of measurements.

Readings are relative to a fixed yardstick of each control, so that those of different controls compare.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from workers.measurement import Correction, Reading

__all__ = ["CHANGE", "Batch", "DriftLog", "Speed"]

CHANGE = 0.08
"""A logarithm of a control model's latency over its usual one that is the device's doing: on a busy machine
single readings vary by up to 5%."""


@dataclass(frozen=True)
class Batch:
    """What was measured between two readings of control models.

    Attributes:
        digests: of the architectures.
        before, after: what a control took over its yardstick.
        again: by digest, what was read of those that were measured for the second time.
    """

    digests: tuple[str, ...]
    before: float
    after: float
    again: Mapping[str, Reading] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        again = {digest: Reading(**reading) for digest, reading in data["again"].items()}
        return cls(tuple(data["digests"]), data["before"], data["after"], again)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a device was during a batch.

    Attributes:
        slowdown: times that it was slower than undisturbed; below 1 where it was faster.
        change: logarithm of how far its speed changed within the batch, in either direction.
    """

    slowdown: float
    change: float

    @property
    def as_usual(self) -> bool:
        """Whether the slowdown is no more than noise, whatever changed meanwhile."""
        return _alike(self.slowdown, 1.0)

    @property
    def changed(self) -> bool:
        """Whether the speed changed within the batch, nobody knows when."""
        return self.change > CHANGE

    @property
    def steady(self) -> bool:
        """Whether what was measured counts as it is."""
        return self.as_usual and not self.changed

    @property
    def uncertainty(self) -> float:
        """How far measurements may be off, as a logarithm: of two batches the one with less counts."""
        return abs(math.log(self.slowdown)) + self.change

    def correct(self, reading: Reading) -> Correction:
        """What an architecture takes on the undisturbed device by a reading at this speed. Where the speed
        changed in between, the standard error says that nobody knows when."""
        if self.changed:
            reading = replace(
                reading, error_ms=math.hypot(reading.error_ms, self.change * reading.latency_ms)
            )
        return Correction.of(reading, 1.0 if self.as_usual else self.slowdown)


@dataclass(frozen=True)
class DriftLog:
    """Batches of one device in the order in which they were measured.

    Attributes:
        calibrated: yardsticks are what controls take on the undisturbed device, as an earlier log knew;
            otherwise they are whatever the controls took first.
    """

    batches: tuple[Batch, ...] = ()
    calibrated: bool = False

    def after(self, batch: Batch) -> DriftLog:
        """The log with one more batch."""
        return replace(self, batches=(*self.batches, batch))

    @property
    def measured(self) -> set[str]:
        """Digests of everything in it."""
        return {digest for batch in self.batches for digest in batch.digests}

    @cached_property
    def usual(self) -> float:
        """What a control takes over its yardstick on the undisturbed device: the lower quartile of the
        readings, since devices are slowed down for a while, not sped up; 1 where there are none. Where that
        contradicts calibrated yardsticks the device was never undisturbed, and these count."""
        readings = [reading for batch in self.batches for reading in (batch.before, batch.after)]
        usual = float(np.quantile(readings, 0.25, method="lower")) if readings else 1.0
        return 1.0 if self.calibrated and not _alike(usual, 1.0) else usual

    @cached_property
    def speeds(self) -> tuple[Speed, ...]:
        """Of each batch: the slowdown is the geometric mean of the readings before and after it."""
        return tuple(
            Speed(
                math.sqrt(batch.before * batch.after) / self.usual, abs(math.log(batch.after / batch.before))
            )
            for batch in self.batches
        )

    def is_usual(self, reading: float) -> bool:
        """Whether a control's reading is that of the undisturbed device."""
        return _alike(reading, self.usual)

    def most_usual(self, readings: Sequence[float]) -> float:
        """Of readings of several controls at one time that which tells of the least change: all must tell of
        it before it is believed. The usual one where there are none."""
        return min(readings, key=lambda reading: abs(math.log(reading / self.usual)), default=self.usual)

    def to_measure_again(self) -> list[str]:
        """Digests of what was measured once, at another speed than the usual."""
        tried = {digest for batch in self.batches for digest in batch.again}
        return [
            digest
            for batch, speed in zip(self.batches, self.speeds, strict=True)
            if not speed.steady
            for digest in batch.digests
            if digest not in tried
        ]

    def corrections(self, first: Mapping[str, Reading]) -> dict[str, Correction | None]:
        """What stands in for measurements: each counts as its reading in the steadiest batch, the slowdown
        divided out. None where it counts as it was first read.

        Args:
            first: by digest, what was read first; what the log does not have is left out.
        """
        best: dict[str, tuple[Speed, Reading]] = {}
        for batch, speed in zip(self.batches, self.speeds, strict=True):
            for digest in batch.digests:
                known = digest in best and best[digest][0].uncertainty <= speed.uncertainty
                if digest in first and not known:
                    best[digest] = speed, batch.again.get(digest, first[digest])
        corrections: dict[str, Correction | None] = {}
        for digest, (speed, reading) in best.items():
            correction = speed.correct(reading)
            corrections[digest] = None if correction == Correction.of(first[digest]) else correction
        return corrections


def _alike(one: float, other: float) -> bool:
    """Whether two readings differ by no more than noise."""
    return abs(math.log(one / other)) <= CHANGE
