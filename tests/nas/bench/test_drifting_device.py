"""A device that is 22% slower for a while: noticed by control models, told, and measured again."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import simulated

from nas.bench.cluster import SimulatedFleet
from nas.errors import JobInterrupted
from nas.job import EventKind, Job, JobStatus
from nas.stages.controls import control_architectures
from nas.stages.plan import resolve
from nas.store import open_store
from nas.store.store import Store
from predictors import restore_predictor
from workers.request import Outcome
from workers.target import Target

SLOW = 1.22
BUDGET = {"measurements": 40, "minimum": 40, "holdout": 16, "tolerance": 1e-6, "predictor": "additive"}
ASKED = BUDGET["measurements"] + BUDGET["holdout"]


@dataclass
class Drifting(SimulatedFleet):
    """The simulated devices, slower for some of the requests; measures with 1% noise, anew each time."""

    slow: range = range(0)

    def _measure(self, digest: str, target: Target) -> Outcome:
        outcome = super()._measure(digest, target)
        number = len(self.measured) - 1
        factor = SLOW if number in self.slow else 1.0
        factor *= float(np.exp(0.01 * np.random.default_rng(number).standard_normal()))
        return replace(outcome, latency_ms=outcome.latency_ms * factor, error_ms=0.01 * outcome.latency_ms)


@pytest.fixture
def store(tmp_path):
    with closing(open_store(tmp_path)) as store:
        yield store


def profiled(store: Store, home: Path, slow: range, stop_after: int = 0) -> tuple[Job, Drifting]:
    """A job that profiles one phone, stopped once on its way where `stop_after` says so."""
    fleet = Drifting(store, simulated.DEVICES, slow=slow)
    job = store.create_job(simulated.spec("phone", until="profile", budget={"profile": BUDGET}))
    if stop_after:
        with pytest.raises(JobInterrupted):
            simulated.run(store, home, job, fleet=fleet, stopped=lambda: len(fleet.measured) >= stop_after)
    job = simulated.run(store, home, job, fleet=fleet)
    assert job.status is JobStatus.SUCCEEDED
    return job, fleet


def error(store: Store, job: Job) -> float:
    """Mean |predicted − true| / true over the whole space, of the predictor that the job kept."""
    plan = resolve(job.spec)
    target = plan.targets[0]
    population = plan.space.sample(400, np.random.default_rng(0))
    true = [simulated.DEVICES["phone"](a, target) for a in plan.space.decode(population)]
    state = store.predictor(target, plan.space.digest)
    assert state is not None
    predicted = restore_predictor(plan.space, target.workload, state).predict(population).mean_ms
    return float(np.abs(predicted / np.array(true) - 1).mean())


def shifts(store: Store, job: Job) -> list[dict]:
    notes = [e for e in store.events(job.id, limit=10_000) if e.kind is EventKind.NOTE]
    return [dict(e.data) for e in notes if "measured again" in e.message]


def test_a_steady_device_is_measured_once_and_controls_cost_little(store, tmp_path):
    job, fleet = profiled(store, tmp_path, slow=range(0))
    plan = resolve(job.spec)
    controls = {a.digest for a in control_architectures(plan)}
    assert len(controls) == 2
    counts = Counter(digest for _, digest in fleet.measured)
    assert {digest for digest, times in counts.items() if times > 1} <= controls
    assert len(store.measurements(plan.targets[0])) == ASKED
    assert ASKED < len(fleet.measured) <= 1.15 * ASKED
    assert shifts(store, job) == []


@pytest.mark.parametrize("slow", [range(12, 30), range(30)], ids=["in the middle", "from the beginning"])
@pytest.mark.parametrize("stop_after", [0, 20], ids=["at once", "stopped and resumed"])
def test_a_slow_stretch_is_told_measured_again_and_not_learned(store, tmp_path, slow, stop_after):
    job, fleet = profiled(store, tmp_path, slow, stop_after)
    told = shifts(store, job)
    assert told
    assert all(note["target"] == str(resolve(job.spec).targets[0]) for note in told)
    raw = {m.digest: m.latency_ms for m in store.measurements(resolve(job.spec).targets[0])}
    assert len(raw) == ASKED
    counts = Counter(digest for _, digest in fleet.measured)
    again = [digest for note in told for digest in note["measurements"]]
    assert again
    assert all(counts[digest] > 1 for digest in again)
    assert error(store, job) < 0.02


def test_a_stretch_that_does_not_end_is_divided_out(store, tmp_path):
    """The device stays slow: there is nothing to wait for."""
    job, _ = profiled(store, tmp_path, slow=range(40, 1000))
    assert shifts(store, job)
    assert error(store, job) < 0.02
