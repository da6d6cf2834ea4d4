"""Control models: architectures read again and again while profiling, which tell that a device is slower for
a while. What was measured meanwhile is measured again, or its factor divided out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from nas.job import StageName
from nas.stages.measure import measure_again
from nas.stages.plan import Plan
from nas.stages.stage import StageContext
from predictors.drift import CHANGE, speeds_between_controls, undisturbed
from searchspaces.architecture import Architecture
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["Controls", "control_architectures", "steady_measurements"]


@dataclass(frozen=True)
class _Batch:
    """What was measured between two readings of the controls.

    Attributes:
        digests: of the architectures.
        before, after: what a control took over what it took first.
        again: (latency, standard error) in ms of those that are measured for the second time.
    """

    digests: tuple[str, ...]
    before: float
    after: float
    again: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def control_architectures(plan: Plan) -> list[Architecture]:
    """At most two presets, the least and the most arithmetic: ordinary models, which verification measures
    anyway. None where the space contains no preset."""
    presets = plan.preset_population
    if not len(presets):
        return []
    order = np.argsort(plan.costs.macs(presets, plan.tokens), kind="stable")
    return plan.space.decode(presets[np.unique(order[[0, -1]])])


class Controls:
    """The controls of one target in one job, and what they told so far: all of it survives a kill, but for
    the batch that was being measured, whose measurements then count as steady.

    One control is read after each batch, in turns; the other too, where it says that the device has
    changed: both must say so.
    """

    def __init__(self, context: StageContext, stage: StageName, target: Target) -> None:
        self._context, self._stage, self._target = context, stage, target
        self._architectures = control_architectures(context.plan)
        self._batches = _batches(context, target)
        self._before: float | None = None

    def begin(self) -> None:
        """Read a control before a batch, unless one was just read or none was measured yet: then the batch
        itself begins with them."""
        if self._before is None:
            self._before = self._read() if self._first() else 1.0

    @property
    def unmeasured(self) -> list[Architecture]:
        """Controls that were never measured."""
        known = self._first()
        return [a for a in self._architectures if a.digest not in known]

    def end(self, digests: Sequence[str], again: Mapping[str, tuple[float, float]] | None = None) -> None:
        """Read a control after a batch, and keep what the two readings tell of it."""
        if not digests or self._before is None or not self._first():
            return
        batch = _Batch(tuple(digests), self._before, self._read(), again or {})
        self._before = batch.after
        self._batches.append(batch)
        context = self._context
        context.store.put_state(
            context.job_id, _name(self._target), {"batches": len(self._batches)}, news=asdict(batch)
        )
        factor, doubt = (values[-1] for values in _speeds(self._batches))
        if _unsteady(factor, doubt):
            change = (
                "changed its speed" if doubt > CHANGE else f"was {factor - 1:.0%} slower than undisturbed"
            )
            context.note(
                self._stage,
                f"{self._target.device} {change} while {len(digests)} architectures were measured; they are "
                "measured again once its control models take what they usually take",
                target=str(self._target),
                factor=float(factor),
                measurements=list(digests),
            )

    def measure_again(self) -> None:
        """Measure again what an unsteady device measured, once, if the device is steady now."""
        architectures = self._context.store.architectures(self._unsteady_digests())
        if not architectures or not self._steady_now():
            return
        self.begin()
        measured = measure_again(self._context, self._stage, self._target, list(architectures.values()))
        found = {m.digest: (m.latency_ms, m.error_ms) for m in measured}
        self.end(list(found), found)

    def _unsteady_digests(self) -> list[str]:
        """Measured once, by an unsteady device."""
        tried = {digest for batch in self._batches for digest in batch.again}
        return [
            digest
            for batch, factor, doubt in zip(self._batches, *_speeds(self._batches), strict=True)
            if _unsteady(factor, doubt)
            for digest in batch.digests
            if digest not in tried
        ]

    def _steady_now(self) -> bool:
        """Whether the last reading is that of an undisturbed device."""
        return _near(self._batches[-1].after, self._usual())

    def _usual(self) -> float:
        """A control's time on the undisturbed device, over what it took first."""
        return undisturbed(np.array([r for batch in self._batches for r in (batch.before, batch.after)]))

    def _first(self) -> dict[str, float]:
        """What each control took when it was measured for the first time, in ms."""
        digests = [a.digest for a in self._architectures]
        return {m.digest: m.latency_ms for m in self._context.store.measurements(self._target, digests)}

    def _read(self) -> float:
        """What a control takes over what it took first: of the one that changed least, where the one whose
        turn it is has changed."""
        first, usual = self._first(), self._usual()
        turn = len(self._batches) % len(self._architectures)
        readings: list[float] = []
        for control in self._architectures[turn:] + self._architectures[:turn]:
            if control.digest in first:
                taken = measure_again(self._context, self._stage, self._target, [control])
                readings += [reading.latency_ms / first[control.digest] for reading in taken]
            if readings and _near(readings[-1], usual):
                break
        return min(readings, key=lambda ratio: abs(math.log(ratio / usual)), default=usual)


def steady_measurements(
    context: StageContext, target: Target, measurements: Sequence[Measurement]
) -> list[Measurement]:
    """Measurements as if the device had never been disturbed: those taken while it was not
    give way to those taken again, or are divided by its factor then. The store's stay as they are.

    Where the device changed its speed in between, nobody knows when: the standard error says so.
    """
    batches = _batches(context, target)
    best: dict[str, tuple[float, float, tuple[float, float] | None]] = {}
    for batch, factor, doubt in zip(batches, *_speeds(batches), strict=True):
        for digest in batch.digests:
            found = factor, doubt, batch.again.get(digest)
            if digest not in best or _off(factor, doubt) < _off(*best[digest][:2]):
                best[digest] = found
    return [_steadied(m, *best[m.digest]) if m.digest in best else m for m in measurements]


def _steadied(
    measurement: Measurement, factor: float, doubt: float, again: tuple[float, float] | None
) -> Measurement:
    latency, error = again or (measurement.latency_ms, measurement.error_ms)
    if not _near(factor, 1.0):
        latency, error = latency / factor, error / factor
    if doubt > CHANGE:
        error = math.hypot(error, doubt * latency)
    return replace(measurement, latency_ms=latency, error_ms=error)


def _near(ratio: float, usual: float) -> bool:
    return abs(math.log(ratio / usual)) <= CHANGE


def _off(factor: float, doubt: float) -> float:
    return abs(math.log(factor)) + doubt


def _unsteady(factor: float, doubt: float) -> bool:
    return not _near(factor, 1.0) or doubt > CHANGE


def _speeds(batches: Sequence[_Batch]) -> tuple[list[float], list[float]]:
    before, after = np.array([b.before for b in batches]), np.array([b.after for b in batches])
    factors, doubts = speeds_between_controls(before, after)
    return factors.tolist(), doubts.tolist()


def _batches(context: StageContext, target: Target) -> list[_Batch]:
    kept: list[dict[str, Any]] = context.store.journal(context.job_id, _name(target))
    return [
        _Batch(
            tuple(batch["digests"]),
            batch["before"],
            batch["after"],
            {digest: (latency, error) for digest, (latency, error) in batch["again"].items()},
        )
        for batch in kept
    ]


def _name(target: Target) -> str:
    """Under which the job keeps what the controls told."""
    return f"controls {target}"
