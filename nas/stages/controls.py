"""Control models: architectures read again and again between measurements, which tell that a device is slower
for a while. What was measured meanwhile is measured again, or its factor divided out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from nas.planning.plan import Plan
from nas.spec import StageName
from nas.stages.measure import measure_again, measure_missing
from nas.stages.stage import StageContext
from predictors.drift import CHANGE, speeds_between_controls, undisturbed
from searchspaces.architecture import Architecture
from workers.measurement import Measurement, Reading
from workers.target import Target

__all__ = ["Controls", "control_architectures", "measure_between_controls"]

BATCH = 8
"""Measurements between two readings, where what to measure is known beforehand."""

SAMPLE = 32
"""Random architectures of which the controls are chosen, where the space contains no preset."""


@dataclass(frozen=True)
class _Batch:
    """What was measured between two readings of the controls.

    Attributes:
        digests: of the architectures.
        before, after: what a control took over what it took first.
        again: of those that are measured for the second time.
    """

    digests: tuple[str, ...]
    before: float
    after: float
    again: Mapping[str, Reading] = field(default_factory=dict)


def control_architectures(plan: Plan) -> list[Architecture]:
    """At most two presets, the least and the most arithmetic: ordinary models, which verification measures
    anyway. Of a space without presets two of a few random architectures, the same in every job."""
    population = plan.preset_population
    if not len(population):
        population = plan.space.sample(SAMPLE, np.random.default_rng(0))
    order = np.argsort(plan.costs.macs(population, plan.tokens), kind="stable")
    return plan.space.decode(population[np.unique(order[[0, -1]])])


class Controls:
    """The controls of one target in one job, and what they told so far: all of it survives a kill.

    One control is read after each batch of measurements, in turns; the other too, where it says that the
    device has changed: both must say so. What they tell of a measurement is kept beside it in the store, and
    is what everybody uses from then on; what the device said first stays there.

    Attributes:
        refused: by digest, what the device could not measure since this object is there. It is not asked
            again.
    """

    def __init__(self, context: StageContext, stage: StageName, target: Target) -> None:
        self._context, self._stage, self._target = context, stage, target
        self._architectures = control_architectures(context.plan)
        self._batches = _batches(context, target)
        # What an earlier process was measuring when it was stopped, and what it had read before.
        state = context.store.state(context.job_id, _name(target)) or {}
        self._open: dict[str, Any] | None = state.get("open")
        self._before: float | None = None
        self.refused: dict[str, Architecture] = {}

    @property
    def unmeasured(self) -> list[Architecture]:
        """Controls that were never measured, nor refused."""
        return self.missing(self._architectures)

    def missing(self, architectures: Sequence[Architecture]) -> list[Architecture]:
        """Those that the store has no measurement of, but for what was refused."""
        known = self._measured([a.digest for a in architectures]).keys() | self.refused.keys()
        return [a for a in architectures if a.digest not in known]

    def measure(self, architectures: Sequence[Architecture]) -> Iterator[Measurement]:
        """Measure what is `missing` of these, between two readings of the controls. Controls that were never
        measured come first.

        Raises:
            NoWorker, JobFailed, JobInterrupted: see `measure_missing`.
        """
        missing = self.missing(architectures)
        if not missing:
            return
        self._close()
        missing = list({a.digest: a for a in (*self.unmeasured, *missing)}.values())
        self._open = {"digests": [a.digest for a in missing], "before": self._read_before()}
        self._keep()
        yield from measure_missing(self._context, self._stage, self._target, missing)
        self.refused |= {a.digest: a for a in self.missing(missing)}
        self._close()

    def measure_again(self) -> None:
        """Measure again, once, what an unsteady device measured, if it is steady now."""
        self._close()
        architectures = self._context.store.architectures(self._unsteady_digests())
        if not architectures or not self._near_usual(self._read_before()):
            return
        before = self._read_before()
        measured = measure_again(self._context, self._stage, self._target, list(architectures.values()))
        again = {m.digest: m.as_first_read for m in measured}
        if again:
            self._end(_Batch(tuple(again), before, self._read(), again))

    def _close(self) -> None:
        """Read a control after what was measured last, which may have been in another process."""
        if self._open is None:
            return
        measured = self._measured(self._open["digests"])
        digests = tuple(digest for digest in self._open["digests"] if digest in measured)
        if digests and self._yardsticks():
            self._end(_Batch(digests, self._open["before"], self._read()))
        else:  # the device refused all of it, or every control
            self._open = None
            self._keep()

    def _end(self, batch: _Batch) -> None:
        """Keep what the two readings tell of a batch."""
        self._before, self._open = batch.after, None
        self._batches.append(batch)
        self._correct()  # first: a batch that a kill leaves open is closed, and corrected, again
        self._keep(entry=asdict(batch))
        factor, doubt = (values[-1] for values in self._speeds())
        if _unsteady(factor, doubt):
            device, number = self._target.device, len(batch.digests)
            change = "changed its speed" if doubt > CHANGE else f"was {_compared(factor)} than undisturbed"
            remedy = (
                "they are measured again once its control models take what they usually take"
                if not batch.again
                else "that was divided out, and what it changed in between added to their errors"
            )
            self._context.note(
                self._stage,
                f"{device} {change} while {number} architectures were measured; {remedy}",
                target=str(self._target),
                factor=float(factor),
                measurements=list(batch.digests),
            )

    def _keep(self, entry: Mapping[str, Any] | None = None) -> None:
        state = {"batches": len(self._batches), "open": self._open}
        self._context.store.put_state(self._context.job_id, _name(self._target), state, entry=entry)

    def _correct(self) -> None:
        """Put what the controls tell of this job's measurements beside them: each counts as its steadiest
        reading, the device's factor then divided out. Where the device changed its speed in between, nobody
        knows when: the standard error says so."""
        best: dict[str, tuple[float, float, Reading | None]] = {}
        for batch, factor, doubt in zip(self._batches, *self._speeds(), strict=True):
            for digest in batch.digests:
                if digest not in best or _off(factor, doubt) < _off(*best[digest][:2]):
                    best[digest] = factor, doubt, batch.again.get(digest)
        store = self._context.store
        known = store.measurements(self._target, best)
        corrected = [_corrected(measurement, *best[measurement.digest]) for measurement in known]
        changed = [new for old, new in zip(known, corrected, strict=True) if new != old]
        store.correct_measurements(self._target, changed)

    def _measured(self, digests: Sequence[str]) -> dict[str, Measurement]:
        return {m.digest: m for m in self._context.store.measurements(self._target, digests)}

    def _unsteady_digests(self) -> list[str]:
        """Measured once, by an unsteady device."""
        tried = {digest for batch in self._batches for digest in batch.again}
        return [
            digest
            for batch, factor, doubt in zip(self._batches, *self._speeds(), strict=True)
            if _unsteady(factor, doubt)
            for digest in batch.digests
            if digest not in tried
        ]

    def _mine(self) -> set[str]:
        """What this job measured first."""
        opened = self._open["digests"] if self._open else ()
        return {*opened, *(digest for batch in self._batches for digest in batch.digests)}

    def _yardsticks(self) -> dict[str, float]:
        """What each control's readings are compared with, in ms: what it took first, where this job measured
        it first; else what an earlier job left of that as the undisturbed device's."""
        mine = self._mine()
        return {
            digest: control.as_first_read.latency_ms if digest in mine else control.latency_ms
            for digest, control in self._measured([a.digest for a in self._architectures]).items()
        }

    def _usual(self) -> float:
        """A control's time on the undisturbed device, over its yardstick: by this job's readings, unless an
        earlier job knew better."""
        readings = [reading for batch in self._batches for reading in (batch.before, batch.after)]
        usual = undisturbed(np.array(readings))
        earlier = self._yardsticks().keys() - self._mine()
        return 1.0 if earlier and not _near(usual, 1.0) else usual

    def _speeds(self) -> tuple[list[float], list[float]]:
        """Of each batch how much slower than usual the device was, and how far it changed meanwhile."""
        before, after = (np.array([getattr(b, end) for b in self._batches]) for end in ("before", "after"))
        factors, doubts = speeds_between_controls(before, after, self._usual())
        return factors.tolist(), doubts.tolist()

    def _near_usual(self, reading: float) -> bool:
        return _near(reading, self._usual())

    def _read_before(self) -> float:
        """The reading before a batch: that after the last one, where it was just taken. Where no control was
        measured yet, the batch itself begins with them."""
        if self._before is None and self._yardsticks():
            self._before = self._read()
        return 1.0 if self._before is None else self._before

    def _read(self) -> float:
        """What a control takes over its yardstick: of the one that changed least, where the one whose turn it
        is has changed."""
        yardsticks, usual = self._yardsticks(), self._usual()
        turn = len(self._batches) % len(self._architectures)
        readings: list[float] = []
        for control in self._architectures[turn:] + self._architectures[:turn]:
            if control.digest in yardsticks:
                taken = measure_again(self._context, self._stage, self._target, [control])
                readings += [reading.latency_ms / yardsticks[control.digest] for reading in taken]
            if readings and _near(readings[-1], usual):
                break
        return min(readings, key=lambda ratio: abs(math.log(ratio / usual)), default=usual)


def measure_between_controls(
    context: StageContext, stage: StageName, target: Target, architectures: Sequence[Architecture]
) -> Iterator[Measurement]:
    """Measure those that the store has no measurement of, read controls in between, and measure again what a
    disturbed device measured, now or earlier in the job, if it is steady by now.

    Raises:
        NoWorker, JobFailed, JobInterrupted: see `nas.stages.measure.measure_missing`.
    """
    controls = Controls(context, stage, target)
    missing = controls.missing(architectures)
    for start in range(0, len(missing), BATCH):
        controls.measure_again()
        yield from controls.measure(missing[start : start + BATCH])
        controls.measure_again()


def _corrected(measurement: Measurement, factor: float, doubt: float, again: Reading | None) -> Measurement:
    reading = again or measurement.as_first_read
    if doubt > CHANGE:
        reading = Reading(reading.latency_ms, math.hypot(reading.error_ms, doubt * reading.latency_ms))
    return measurement.corrected(reading, 1.0 if _near(factor, 1.0) else factor)


def _compared(factor: float) -> str:
    """``"22% slower"``"""
    return f"{factor - 1:.0%} slower" if factor > 1 else f"{1 - factor:.0%} faster"


def _near(ratio: float, usual: float) -> bool:
    return abs(math.log(ratio / usual)) <= CHANGE


def _off(factor: float, doubt: float) -> float:
    return abs(math.log(factor)) + doubt


def _unsteady(factor: float, doubt: float) -> bool:
    return not _near(factor, 1.0) or doubt > CHANGE


def _batches(context: StageContext, target: Target) -> list[_Batch]:
    kept: list[dict[str, Any]] = context.store.journal(context.job_id, _name(target))
    return [
        _Batch(
            tuple(batch["digests"]),
            batch["before"],
            batch["after"],
            {digest: Reading(**reading) for digest, reading in batch["again"].items()},
        )
        for batch in kept
    ]


def _name(target: Target) -> str:
    """Under which the job keeps what the controls told."""
    return f"controls {target}"
