"""Drift of a device, from control models that are measured repeatedly between batches: readings in;
slowdowns, corrections and what to measure again out.

A reading is a control's latency over a fixed yardstick of its own, so that different controls are comparable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from workers.measurement import Correction, Reading
from workers.target import Target

__all__ = ["CHANGE", "Batch", "DriftLog", "Speed", "journal_of_controls"]

CHANGE = 0.08
"""Log ratio of a control's latency to its usual one from which the device is taken to have changed: on a busy
machine single readings vary by up to 5%."""


@dataclass(frozen=True)
class Batch:
    """What was measured between two readings of control models.

    Attributes:
        digests: of the architectures.
        before, after: the readings.
        again: by digest, the second readings, where this batch measured them again.
        repeats: by digest, readings of what earlier sessions had measured.
        stage: of the job, whose batches are one session; empty in journals of earlier versions.
    """

    digests: tuple[str, ...]
    before: float
    after: float
    again: Mapping[str, Reading] = field(default_factory=dict)
    repeats: Mapping[str, Reading] = field(default_factory=dict)
    stage: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        again, repeats = (
            {digest: Reading(**reading) for digest, reading in data.get(name, {}).items()}
            for name in ("again", "repeats")
        )
        stage = data.get("stage", "")
        return cls(tuple(data["digests"]), data["before"], data["after"], again, repeats, stage)


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
        """Whether the slowdown is within noise, even if it changed meanwhile."""
        return _alike(self.slowdown, 1.0)

    @property
    def changed(self) -> bool:
        """Whether the speed changed within the batch, at an unknown moment."""
        return self.change > CHANGE

    @property
    def steady(self) -> bool:
        """Whether measurements count as they are."""
        return self.as_usual and not self.changed

    @property
    def uncertainty(self) -> float:
        """How far measurements may be off, as a logarithm: of two batches the one with the lower counts."""
        return abs(math.log(self.slowdown)) + self.change

    def correct(self, reading: Reading) -> Correction:
        """The latency on the undisturbed device that a reading at this speed implies. Where the speed changed
        within the batch, the standard error grows by the change, since its moment is unknown."""
        if self.changed:
            reading = replace(
                reading, error_ms=math.hypot(reading.error_ms, self.change * reading.latency_ms)
            )
        return Correction.of(reading, 1.0 if self.as_usual else self.slowdown)


@dataclass(frozen=True)
class DriftLog:
    """Batches of one device in the order in which they were measured.

    Attributes:
        calibrated: yardsticks are the controls' latencies on the undisturbed device, from an earlier log;
            otherwise they are merely the controls' first readings.
    """

    batches: tuple[Batch, ...] = ()
    calibrated: bool = False

    def after(self, batch: Batch) -> DriftLog:
        """The log with one more batch."""
        return replace(self, batches=(*self.batches, batch))

    @property
    def measured(self) -> set[str]:
        """Digests of all architectures in it."""
        return {digest for batch in self.batches for digest in batch.digests}

    def measured_in(self, stage: str) -> set[str]:
        """Those that a stage's batches measured."""
        return {digest for batch in self.batches if batch.stage == stage for digest in batch.digests}

    @cached_property
    def usual(self) -> float:
        """The reading of the undisturbed device: the lower quartile of all readings, since devices are slowed
        down for a while, not sped up; 1 where there are none. Where that contradicts calibrated yardsticks,
        the device was never undisturbed, and the yardsticks count."""
        readings = [reading for batch in self.batches for reading in (batch.before, batch.after)]
        usual = float(np.quantile(readings, 0.25, method="lower")) if readings else 1.0
        return 1.0 if self.calibrated and not _alike(usual, 1.0) else usual

    @cached_property
    def speeds(self) -> tuple[Speed, ...]:
        """One for each batch: the slowdown is the geometric mean of the readings before and after."""
        return tuple(
            Speed(
                math.sqrt(batch.before * batch.after) / self.usual, abs(math.log(batch.after / batch.before))
            )
            for batch in self.batches
        )

    def is_usual(self, reading: float) -> bool:
        """Whether a reading is that of the undisturbed device, within noise."""
        return _alike(reading, self.usual)

    def most_usual(self, readings: Sequence[float]) -> float:
        """Of readings of several controls at one time the one that shows the least change: a change counts
        only where all agree. The usual reading where there are none."""
        return min(readings, key=lambda reading: abs(math.log(reading / self.usual)), default=self.usual)

    def to_measure_again(self) -> list[str]:
        """Digests of what was measured only once, and not on a steady, undisturbed device."""
        tried = {digest for batch in self.batches for digest in batch.again}
        return [
            digest
            for batch, speed in zip(self.batches, self.speeds, strict=True)
            if not speed.steady
            for digest in batch.digests
            if digest not in tried
        ]

    def corrections(self, first: Mapping[str, Reading]) -> dict[str, Correction | None]:
        """What stands in for measurements: the reading in the least uncertain batch, its slowdown divided
        out. None where the first reading counts as it is.

        Args:
            first: by digest, the first readings; digests that the log does not have are left out.
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

    def repeated(self, stage: str) -> dict[str, Reading]:
        """By digest, what a stage's batches say of what earlier sessions had measured; slowdowns are divided
        out."""
        return {
            digest: Reading(correction.latency_ms, correction.error_ms)
            for batch, speed in zip(self.batches, self.speeds, strict=True)
            if batch.stage == stage
            for digest, reading in batch.repeats.items()
            for correction in [speed.correct(reading)]
        }


def journal_of_controls(target: Target) -> str:
    """The name of the journal that a job keeps of a target's control models: a `Batch` an entry."""
    return f"controls {target}"


def _alike(one: float, other: float) -> bool:
    """Whether two readings differ by no more than noise."""
    return abs(math.log(one / other)) <= CHANGE
