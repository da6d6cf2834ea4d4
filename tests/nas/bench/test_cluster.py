"""Whole jobs in virtual time: stragglers, failures and stops change nothing that they should not."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
import simulated

from nas.bench.cluster import SimulatedEvaluator, SimulatedFleet
from nas.errors import JobFailed, JobInterrupted, NoWorker
from nas.evaluation import Split
from nas.job import Job, JobStatus
from nas.stages.plan import resolve
from nas.store import open_store
from nas.store.store import Store


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A home whose supernet is trained and whose blocks are exported, for tests to copy."""
    home = tmp_path_factory.mktemp("trained")
    with closing(open_store(home)) as store:
        job = simulated.run(store, home, simulated.spec("phone"))
        assert job.status is JobStatus.SUCCEEDED
    return home


@pytest.fixture
def home(trained, tmp_path) -> Path:
    """As `trained`, without what was evaluated and measured."""
    shutil.copytree(trained / "blocks", tmp_path / "blocks")
    shutil.copytree(trained / "supernets", tmp_path / "supernets")
    with closing(open_store(trained)) as finished, closing(open_store(tmp_path)) as store:
        record = finished.supernet(resolve(simulated.spec("phone")).supernet_digest)
        assert record is not None
        store.put_supernet(record)
    return tmp_path


@pytest.fixture
def store(home):
    with closing(open_store(home)) as store:
        yield store


def points(store: Store, job: Job) -> dict[str, tuple]:
    return {
        p.digest: (p.validation, p.on_front, tuple(latency.measured for latency in p.latency_ms.values()))
        for p in store.points(job.id)
    }


def straggling(rng) -> float:
    return 20.0 if rng.random() < 0.2 else rng.uniform(0.5, 1.5)


def test_any_number_of_workers_finds_the_same(trained, store, home):
    many = SimulatedEvaluator(simulated.quality, workers=5, seconds=straggling)
    job = simulated.run(store, home, simulated.spec("phone"), many)
    assert many.clock < 0.6 * sum(
        e.seconds for e in store.evaluations(resolve(job.spec).supernet_digest, Split.VALIDATION)
    )
    with closing(open_store(trained)) as one:
        (same,) = one.jobs()
        assert points(store, job) == points(one, same)


def test_a_job_stopped_again_and_again_evaluates_and_measures_nothing_twice(trained, store, home):
    evaluator = SimulatedEvaluator(simulated.quality, workers=3)
    fleet = SimulatedFleet(store, simulated.DEVICES)
    job = store.create_job(simulated.spec("phone"))
    stops = 0
    while store.job(job.id).status is not JobStatus.SUCCEEDED:
        begun = evaluator.evaluated

        def stopped(begun: int = begun) -> bool:
            return evaluator.evaluated > begun + 6

        try:
            simulated.run(store, home, job, evaluator, fleet, stopped)
        except JobInterrupted:
            stops += 1
    assert stops > 3
    scored = [store.evaluations(resolve(job.spec).supernet_digest, split) for split in Split]
    assert evaluator.evaluated == sum(map(len, scored))
    assert len(fleet.measured) == len(set(fleet.measured))
    with closing(open_store(trained)) as one:
        (same,) = one.jobs()
        assert points(store, job) == points(one, same)


def test_failed_evaluations_and_measurements_are_noted_and_left_out(store, home):
    evaluator = SimulatedEvaluator(simulated.quality, workers=4, failures=0.3)
    fleet = SimulatedFleet(store, simulated.DEVICES, failures=0.1, noise=0.01)
    job = simulated.run(store, home, simulated.spec("phone"), evaluator, fleet)
    assert job.status is JobStatus.SUCCEEDED
    notes = [e.message for e in store.events(job.id)]
    assert any("failed" in note for note in notes)
    assert any("could not measure" in note for note in notes)
    front = [p for p in store.points(job.id) if p.on_front]
    assert front
    assert all(latency.measured is not None for p in front for latency in p.latency_ms.values())


def test_a_device_that_refuses_everything_fails_the_job(store, home):
    fleet = SimulatedFleet(store, simulated.DEVICES, failures=1.0)
    with pytest.raises(JobFailed, match="refused"):
        simulated.run(store, home, simulated.spec("phone"), fleet=fleet)


def test_a_device_that_is_not_there_is_named(store, home):
    with pytest.raises(NoWorker, match="there are: phone"):
        simulated.run(store, home, simulated.spec("fridge"))
