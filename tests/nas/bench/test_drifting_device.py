"""A device that is 22% slower for a while: noticed by control models, told, and measured again; while
profiling, while verifying, and in jobs that find its controls measured by an earlier one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import simulated

from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.controller.controller import Controller
from nas.errors import JobInterrupted
from nas.front import Scope
from nas.job import EventKind, Job, JobStatus
from nas.objectives.value import Value
from nas.planning.plan import resolve
from nas.report.describe import describe_value
from nas.spec import StageName
from nas.stages.controls import control_architectures
from nas.store import open_store
from nas.store.store import Store
from predictors import restore_predictor
from workers.request import MeasurementFailure, Outcome
from workers.target import Target

SLOW = 1.22
BUDGET = {"measurements": 40, "minimum": 40, "holdout": 16, "tolerance": 1e-6, "predictor": "additive"}
ASKED = BUDGET["measurements"] + BUDGET["holdout"]


@dataclass
class Drifting(SimulatedMeasurementBackend):
    """The simulated devices, slower for some of the requests; measures with 1% noise, anew each time."""

    slow: Callable[[int], bool] = lambda number: False

    def _measure(self, digest: str, target: Target) -> Outcome:
        outcome = super()._measure(digest, target)
        number = len(self.measured) - 1
        factor = SLOW if self.slow(number) else 1.0
        factor *= float(np.exp(0.01 * np.random.default_rng(number).standard_normal()))
        return replace(outcome, latency_ms=outcome.latency_ms * factor, error_ms=0.01 * outcome.latency_ms)


@pytest.fixture
def store(tmp_path):
    with closing(open_store(tmp_path)) as store:
        yield store


def profiled(store: Store, home: Path, slow: range, stop_after: int = 0) -> tuple[Job, Drifting]:
    """A job that profiles one phone, stopped once on its way where `stop_after` says so."""
    backend = Drifting(store, simulated.DEVICES, slow=slow.__contains__)
    job = store.create_job(simulated.spec("phone", until="profile", budget={"profile": BUDGET}))
    if stop_after:
        with pytest.raises(JobInterrupted):
            simulated.run(
                store, home, job, devices=backend, stopped=lambda: len(backend.measured) >= stop_after
            )
    job = simulated.run(store, home, job, devices=backend)
    assert job.status is JobStatus.SUCCEEDED
    return job, backend


def error(store: Store, job: Job) -> float:
    """Mean |predicted − true| / true over the whole space, of the predictor that the job kept."""
    plan = resolve(job.spec)
    target = plan.targets[0]
    population = plan.space.sample(400, np.random.default_rng(0))
    true = [simulated.DEVICES["phone"](a, target) for a in plan.space.decode(population)]
    state = store.predictor(plan.space.digest, ("latency_ms", str(target)))
    assert state is not None
    predicted = restore_predictor(plan.space, target.workload, state).predict(population).mean
    return float(np.abs(predicted / np.array(true) - 1).mean())


def shifts(store: Store, job: Job) -> list[dict]:
    notes = [e for e in store.events(job.id, limit=10_000) if e.kind is EventKind.NOTE]
    return [dict(e.data) for e in notes if "measured again" in e.message]


def test_a_steady_device_is_measured_once_and_controls_cost_little(store, tmp_path):
    job, backend = profiled(store, tmp_path, slow=range(0))
    plan = resolve(job.spec)
    controls = {a.digest for a in control_architectures(plan)}
    assert len(controls) == 2
    counts = Counter(digest for _, digest in backend.measured)
    assert {digest for digest, times in counts.items() if times > 1} <= controls
    assert len(store.measurements(plan.targets[0])) == ASKED
    assert ASKED < len(backend.measured) <= 1.15 * ASKED
    assert shifts(store, job) == []


@pytest.mark.parametrize("slow", [range(12, 30), range(30)], ids=["in the middle", "from the beginning"])
@pytest.mark.parametrize("stop_after", [0, 20], ids=["at once", "stopped and resumed"])
def test_a_slow_stretch_is_told_measured_again_and_not_learned(store, tmp_path, slow, stop_after):
    job, backend = profiled(store, tmp_path, slow, stop_after)
    told = shifts(store, job)
    assert told
    assert all(note["target"] == str(resolve(job.spec).targets[0]) for note in told)
    counts = Counter(digest for _, digest in backend.measured)
    again = [digest for note in told for digest in note["measurements"]]
    assert again
    assert all(counts[digest] > 1 for digest in again)
    assert error(store, job) < 0.02
    # A batch that was under way when the job was stopped is no exception.
    (target,) = resolve(job.spec).targets
    known = store.measurements(target)
    assert len(known) == ASKED
    architectures = store.architectures([m.digest for m in known])
    true = [simulated.DEVICES["phone"](architectures[m.digest], target) for m in known]
    assert [m.corrected.latency_ms for m in known] == pytest.approx(true, rel=0.06)


def test_a_stretch_that_does_not_end_is_divided_out(store, tmp_path):
    """The device stays slow: there is nothing to wait for."""
    job, _ = profiled(store, tmp_path, slow=range(40, 1000))
    assert shifts(store, job)
    assert error(store, job) < 0.02


@dataclass
class Refusing(Drifting):
    """Refuses some architectures."""

    refuses: frozenset[str] = frozenset()

    def _measure(self, digest: str, target: Target) -> Outcome:
        taken = super()._measure(digest, target)
        refused = MeasurementFailure(digest, target, "too large", retryable=False)
        return refused if digest in self.refuses else taken


def test_where_no_control_can_be_measured_it_is_said_once(store, tmp_path):
    job = store.create_job(simulated.spec("phone", until="profile", budget={"profile": BUDGET}))
    controls = frozenset(a.digest for a in control_architectures(resolve(job.spec)))
    backend = Refusing(store, simulated.DEVICES, refuses=controls, slow=range(20, 40).__contains__)
    with pytest.raises(JobInterrupted):
        simulated.run(store, tmp_path, job, devices=backend, stopped=lambda: len(backend.measured) >= 25)
    assert simulated.run(store, tmp_path, job, devices=backend).status is JobStatus.SUCCEEDED
    notes = [e.message for e in store.events(job.id, limit=10_000) if e.kind is EventKind.NOTE]
    assert sum("could not measure any control model" in note for note in notes) == 1
    (target,) = resolve(job.spec).targets
    assert {m.correction for m in store.measurements(target)} == {None}


BOARD = {
    "profile": {**BUDGET, "measurements": 16, "minimum": 8, "holdout": 6},
    "train": {"steps": 1, "batch": 1},
}


@dataclass
class SlowWhileVerifying:
    """Whether the device is slow: for so many requests from the beginning of the job's verify stage."""

    store: Store
    requests: int
    asked: int = 0

    def __call__(self, number: int) -> bool:
        self.asked += self.store.jobs(1)[0].stage is StageName.VERIFY
        return 0 < self.asked <= self.requests


def verified(store: Store, home: Path, requests: int, **changes: object) -> Job:
    """A job for one phone that is slow for so many requests of its verify stage."""
    search = {"evaluations": 30, "batch": 6, "strategy": "evolution"}
    budget = {**BOARD, "search": search, "verify": {"rounds": 3, "evaluations": 6, "tolerance": 0.05}}
    job = store.create_job(simulated.spec("phone", budget=budget, **changes))
    backend = Drifting(store, simulated.DEVICES, slow=SlowWhileVerifying(store, requests))
    assert simulated.run(store, home, job, devices=backend).status is JobStatus.SUCCEEDED
    return job


def front_of(store: Store, job: Job) -> list[tuple[Value, float]]:
    """Each member's latency, and what it takes in truth."""
    (target,) = resolve(job.spec).targets
    front = store.points(job.id, Scope.FRONT)
    assert len(front) > 2
    return [
        (p.values["latency_ms", str(target)], simulated.DEVICES["phone"](p.architecture, target))
        for p in front
    ]


def told_of_the_front(store: Store, job: Job) -> list[str]:
    notes = [e.message for e in store.events(job.id, limit=10_000) if e.kind is EventKind.NOTE]
    return [note for note in notes if "never undisturbed" in note]


def test_what_is_verified_in_a_slow_stretch_is_measured_again(store, tmp_path):
    job = verified(store, tmp_path, requests=7)
    assert shifts(store, job)
    assert told_of_the_front(store, job) == []
    for latency, true in front_of(store, job):
        assert latency.slowdown == 1.0
        assert latency.measured == pytest.approx(true, rel=0.04)


def test_a_front_that_only_a_slow_device_measured_says_so(store, tmp_path):
    job = verified(store, tmp_path, requests=1000)
    assert shifts(store, job)
    (note,) = told_of_the_front(store, job)
    found = front_of(store, job)
    slow = [latency for latency, _ in found if latency.slowdown != 1.0]
    assert slow
    assert f"{len(slow)} of the front's {len(found)}" in note
    for latency, true in found:
        assert latency.measured == pytest.approx(true, rel=0.06)
        assert latency.slowdown in (1.0, pytest.approx(SLOW, rel=0.06))
        assert describe_value(latency, "ms")[1].endswith(f"(÷{latency.slowdown:.2f})") == (latency in slow)


def test_a_later_job_knows_what_the_controls_take(store, tmp_path):
    """It reads no control while the device is undisturbed, and its measurements are used by a third job."""
    profiled(store, tmp_path, slow=range(0))
    slow = store.create_job(simulated.spec("phone", seed=1, until="profile", budget={"profile": BUDGET}))
    simulated.run(store, tmp_path, slow, devices=Drifting(store, simulated.DEVICES, slow=lambda number: True))
    (target,) = resolve(slow.spec).targets
    known = store.measurements(target)
    disturbed = [m for m in known if m.slowdown != 1.0]
    assert len(known) > len(disturbed) > 5
    for measurement in disturbed:
        assert measurement.slowdown == pytest.approx(SLOW, rel=0.06)
        assert measurement.latency_ms == pytest.approx(
            measurement.corrected.latency_ms * measurement.slowdown
        )
    assert error(store, slow) < 0.02


def test_an_architecture_verified_alone_is_read_between_controls(store, tmp_path):
    job = verified(store, tmp_path, requests=0)
    plan = resolve(job.spec)
    (target,) = plan.targets
    known = {m.digest for m in store.measurements(target)}
    asked = next(
        a for a in plan.space.decode(plan.space.sample(99, np.random.default_rng(1))) if a.digest not in known
    )
    backend = Drifting(store, simulated.DEVICES, slow=lambda number: True)
    evaluator = SimulatedComputeBackend(simulated.quality)
    point = Controller(store, tmp_path, backend, evaluator).verify(job.id, asked)
    latency = point.values["latency_ms", str(target)]
    assert latency.slowdown == pytest.approx(SLOW, rel=0.06)
    assert latency.measured == pytest.approx(simulated.DEVICES["phone"](asked, target), rel=0.06)
