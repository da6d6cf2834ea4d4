"""Control models: architectures measured repeatedly between batches, which reveal that a device is slower for
a while. What was measured meanwhile is measured again, or the slowdown is divided out. Here readings are
taken and corrections stored; `nas.analysis.drift_log` derives the latter from the former."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nas.analysis.drift_log import Batch, DriftLog, journal_of_controls
from nas.planning.plan import Plan
from nas.spec import StageName
from nas.stages.measure import measure_again, measure_missing
from nas.stages.repeats import choose_repeats
from nas.stages.stage import StageContext
from nas.stages.states import ControlsState, OpenBatch
from searchspaces.architecture import Architecture
from workers.measurement import Measurement, Reading
from workers.target import Target

__all__ = ["Controls", "control_architectures", "measure_between_controls"]

BATCH = 8
"""Measurements between two readings, where all architectures to measure are known in advance."""

SAMPLE = 32
"""Random architectures from which the controls are chosen where the space contains no preset."""


def control_architectures(plan: Plan) -> list[Architecture]:
    """At most two presets, those with the fewest and the most MACs. In a space without presets, two of a few
    random architectures, the same in every job.

    Where single blocks are profiled, the first layer of each alone: deep models may take seconds, and
    reading one half a minute.
    """
    population = plan.preset_population
    if not len(population):
        population = plan.space.sample(SAMPLE, np.random.default_rng(0))
    order = np.argsort(plan.costs.macs(population, plan.tokens), kind="stable")
    chosen = plan.space.decode(population[np.unique(order[[0, -1]])])
    if plan.profiled_space is not plan.space:
        chosen = [replace(architecture, layers=architecture.layers[:1]) for architecture in chosen]
    return list({architecture.digest: architecture for architecture in chosen}.values())


class Controls:
    """The control models of one target in one job, and their readings so far, all of which survives a kill.

    After each batch one control is measured, in turns; the other as well where the first suggests that the
    device has changed, since both must agree. Corrections are stored beside the measurements and are what
    everything is computed with from then on; the original readings are kept.

    What a stage of a job measures is a session. Each measures a few models again that earlier ones had
    measured, so that the store knows what sessions differ by (`nas.analysis.sessions`).

    Attributes:
        refused: by digest, what the device could not measure in this object's lifetime; it is not tried
            again.
    """

    def __init__(self, context: StageContext, stage: StageName, target: Target) -> None:
        self._context, self._stage, self._target = context, stage, target
        self._architectures = control_architectures(context.plan)
        self._name = journal_of_controls(target)
        # What an earlier process was measuring when it was stopped, and what it had read before.
        self._state = ControlsState.load(context.store, context.job_id, self._name)
        self._batches = tuple(map(Batch.from_dict, context.store.journal(context.job_id, self._name)))
        self._before: float | None = None
        self._repeats: dict[str, Reading] = {}
        self.refused: dict[str, Architecture] = {}

    @property
    def unmeasured(self) -> list[Architecture]:
        """Controls that were never measured, nor refused."""
        return self.missing(self._architectures)

    def missing(self, architectures: Sequence[Architecture]) -> list[Architecture]:
        """Those without a measurement in the store that were not refused."""
        known = self._measured([a.digest for a in architectures]).keys() | self.refused.keys()
        return [a for a in architectures if a.digest not in known]

    def measure(self, architectures: Sequence[Architecture]) -> Iterator[Measurement]:
        """Measure those of these that are `missing`, between two readings of the controls. Controls that were
        never measured come first.

        Raises:
            NoWorker, JobFailed, JobInterrupted: see `measure_missing`.
        """
        missing = self.missing(architectures)
        if not missing:
            return
        self.close()
        missing = list({a.digest: a for a in (*self.unmeasured, *missing)}.values())
        self._keep(open=OpenBatch(tuple(a.digest for a in missing), self._read_before()))
        yield from measure_missing(self._context, self._stage, self._target, missing)
        self.refused |= {a.digest: a for a in self.missing(missing)}
        self._repeat()
        self.close()

    def measure_again(self) -> None:
        """Measure again, once, what was measured at another speed, if the device is undisturbed now."""
        self.close()
        log = self._log()
        architectures = self._context.store.architectures(log.to_measure_again())
        if not architectures or not log.is_usual(self._read_before()):
            return
        before = self._read_before()
        measured = measure_again(self._context, self._stage, self._target, list(architectures.values()))
        again = {m.digest: m.reading for m in measured}
        if again:
            self._end(Batch(tuple(again), before, self._read(), again, stage=self._stage))

    def _repeat(self) -> None:
        """Measure again some of what earlier sessions measured."""
        log, opened = DriftLog(self._batches), self._state.open
        new = log.measured_in(self._stage).union(opened.digests if opened else ())
        without = (
            {a.digest for a in self._architectures} | log.repeated(self._stage).keys() | self.refused.keys()
        )
        done = len(log.repeated(self._stage))
        wanted = choose_repeats(self._context, self._target, new, without, done)
        if wanted:
            measured = measure_again(self._context, self._stage, self._target, wanted)
            self._repeats = {m.digest: m.reading for m in measured}
            self.refused |= {a.digest: a for a in wanted if a.digest not in self._repeats}

    def _keep(self, *, entry: Mapping[str, Any] | None = None, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        self._state.save(self._context.store, self._context.job_id, self._name, entry)

    def close(self) -> None:
        """Read a control after what was measured last, which may have been in another process."""
        opened = self._state.open
        if opened is None:
            return
        measured = self._measured(opened.digests)
        digests = tuple(digest for digest in opened.digests if digest in measured)
        if digests and self._yardsticks():
            repeats, self._repeats = self._repeats, {}
            self._end(Batch(digests, opened.before, self._read(), repeats=repeats, stage=self._stage))
            return
        self._keep(open=None)  # the device refused all of it, or every control
        if not self._state.uncontrolled and self.refused.keys() >= {a.digest for a in self._architectures}:
            self._keep(uncontrolled=True)
            self._context.note(
                self._stage,
                f"{self._target.device} could not measure any control model: periods in which it is slower "
                "go unnoticed, and measurements count as they are",
                target=str(self._target),
            )

    def _end(self, batch: Batch) -> None:
        """Store a batch and the corrections that follow from it, and report a disturbance."""
        self._before = batch.after
        log = self._log().after(batch)
        self._batches = log.batches
        self._correct(log)  # first: a batch that a kill leaves open is closed, and corrected, again
        self._keep(open=None, entry=batch.to_dict())
        speed = log.speeds[-1]
        if not speed.steady:
            device, number = self._target.device, len(batch.digests)
            change = (
                "changed its speed" if speed.changed else f"was {_compared(speed.slowdown)} than undisturbed"
            )
            remedy = (
                "they are measured again once its control models are back at their usual latency"
                if not batch.again
                else "the slowdown was divided out, and its change in between added to their standard errors"
            )
            self._context.note(
                self._stage,
                f"{device} {change} while {number} architectures were measured; {remedy}",
                target=str(self._target),
                factor=speed.slowdown,
                measurements=list(batch.digests),
            )

    def _correct(self, log: DriftLog) -> None:
        """Store the corrections of this job's measurements that have changed, and what it measured again of
        earlier ones."""
        store = self._context.store
        known = store.measurements(self._target, log.measured)
        corrections = log.corrections({m.digest: m.reading for m in known})
        changed = {m.digest: corrections[m.digest] for m in known if corrections[m.digest] != m.correction}
        store.correct_measurements(self._target, changed)
        session = f"{self._context.job_id} {self._stage}"
        store.put_repeats(self._target, session, log.repeated(self._stage))

    def _measured(self, digests: Sequence[str]) -> dict[str, Measurement]:
        return {m.digest: m for m in self._context.store.measurements(self._target, digests)}

    def _log(self) -> DriftLog:
        """The readings so far; calibrated where an earlier job measured a control."""
        return DriftLog(self._batches, calibrated=bool(self._yardsticks().keys() - self._mine()))

    def _mine(self) -> set[str]:
        """What this job measured first."""
        opened = self._state.open
        return DriftLog(self._batches).measured.union(opened.digests if opened else ())

    def _yardsticks(self) -> dict[str, float]:
        """What each control's readings are compared with, in ms: its first reading, where this job took it;
        else its latency on the undisturbed device according to an earlier job."""
        mine = self._mine()
        return {
            digest: (control.reading if digest in mine else control.corrected).latency_ms
            for digest, control in self._measured([a.digest for a in self._architectures]).items()
        }

    def _read_before(self) -> float:
        """The reading before a batch: the one after the previous batch, where it was just taken. Where no
        control has been measured yet, the batch itself begins with them."""
        if self._before is None and self._yardsticks():
            self._before = self._read()
        return 1.0 if self._before is None else self._before

    def _read(self) -> float:
        """A control's latency over its yardstick; where the one whose turn it is has changed, that of the one
        that changed least."""
        yardsticks, log = self._yardsticks(), self._log()
        turn = len(self._batches) % len(self._architectures)
        readings: list[float] = []
        for control in self._architectures[turn:] + self._architectures[:turn]:
            if control.digest in yardsticks:
                taken = measure_again(self._context, self._stage, self._target, [control])
                readings += [reading.latency_ms / yardsticks[control.digest] for reading in taken]
            if readings and log.is_usual(readings[-1]):
                break
        return log.most_usual(readings)


def measure_between_controls(
    context: StageContext, stage: StageName, target: Target, architectures: Sequence[Architecture]
) -> Iterator[Measurement]:
    """Measure the architectures without a measurement in the store, with readings of the controls in between,
    and measure again what was measured on a disturbed device, now or earlier in the job, if it has recovered.

    Raises:
        NoWorker, JobFailed, JobInterrupted: see `nas.stages.measure.measure_missing`.
    """
    controls = Controls(context, stage, target)
    controls.close()
    missing = controls.missing(architectures)
    for start in range(0, len(missing), BATCH):
        controls.measure_again()
        yield from controls.measure(missing[start : start + BATCH])
        controls.measure_again()


def _compared(slowdown: float) -> str:
    """``"22% slower"``"""
    return f"{slowdown - 1:.0%} slower" if slowdown > 1 else f"{1 - slowdown:.0%} faster"
