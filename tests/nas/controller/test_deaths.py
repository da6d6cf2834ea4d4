"""A job that kills whoever runs it is not run for ever; an outage of the store is not the job's fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.controller.controller import Controller
from nas.controller.lease import JobLease
from nas.controller.restarts import AUTOMATIC, ON_REQUEST, RestartPolicy
from nas.controller.stopping import ask_to_stop
from nas.errors import Busy, JobFailed, JobInterrupted, StoreUnavailable
from nas.job import JobStatus
from nas.planning.plan import resolve
from nas.spec import StageName, load_job_spec
from tests.nas.store.memory_store import MemoryStore
from workers.measurement import Measurement
from workers.request import MeasurementRequest, Outcome
from workers.target import Target

SPEC = load_job_spec(
    {
        "space": {
            "name": "tiny",
            "width": [16],
            "depth": [1, 2],
            "layer": {"mixer": ["none", "softmax", "linear"], "heads": [2], "ratio": [1, 2]},
        },
        "until": "profile",
        "targets": [{"device": "somewhere", "tokens": 32}],
    }
)


MOST_DEATHS = AUTOMATIC.most_deaths
assert MOST_DEATHS is not None


class Killed(BaseException):
    """What a SIGKILL leaves behind: nothing is written, nothing is cleaned up but what the system frees."""


class Deadly:
    """A measurement backend whose every use ends so."""

    def __init__(self, end: BaseException) -> None:
        self.end = end

    def wait_for(self, target: Target, timeout: float) -> None:
        raise self.end

    def measure(
        self, requests: Iterable[MeasurementRequest], cancelled: Callable[[], bool] | None = None
    ) -> Iterator[Outcome]:
        raise self.end


class NoCompute:
    """Profiling needs none."""

    def __getattr__(self, name: str) -> Callable[..., AbstractContextManager[Any]]:
        raise AssertionError(name)


def controller(
    store: MemoryStore, home: Path, end: BaseException, restarts: RestartPolicy = AUTOMATIC
) -> Controller:
    return Controller(store, home, Deadly(end), NoCompute(), restarts)  # type: ignore[arg-type]


def get_further(store: MemoryStore, job_id: str, seed: int) -> None:
    """What a process got done before it died: one architecture more."""
    plan = resolve(store.job(job_id).spec)
    (architecture,) = plan.space.decode(plan.space.sample(1, np.random.default_rng(seed)))
    store.put_architectures([architecture])
    rest = (0.1, 0.1, 1.0, 1.0, 1.0, 1, 1, 0, False)
    assert store.add_measurement(Measurement(architecture.digest, plan.targets[0], 1.0 + seed, *rest))


def die(store: MemoryStore, home: Path, job_id: str, restarts: RestartPolicy = AUTOMATIC) -> None:
    with pytest.raises(Killed):
        controller(store, home, Killed(), restarts).run(job_id, lambda: False)
    assert store.job(job_id).status is JobStatus.RUNNING


def test_a_job_that_kills_its_process_is_failed_with_that_cause(tmp_path: Path) -> None:
    store = MemoryStore()
    job = store.create_job(SPEC).id
    for _ in range(MOST_DEATHS):
        die(store, tmp_path, job)
    with pytest.raises(JobFailed, match="died 3 times in stage profile"):
        controller(store, tmp_path, Killed()).run(job, lambda: False)
    failed = store.job(job)
    assert failed.status is JobStatus.FAILED
    assert "died 3 times in stage profile" in str(failed.failure())
    assert store.lease_owner(job) is None
    # Somebody wants it to be tried again.
    store.set_job(job, JobStatus.QUEUED, failed.stage)
    for _ in range(MOST_DEATHS):
        die(store, tmp_path, job)


def test_a_job_that_gets_further_may_die_more_often(tmp_path: Path) -> None:
    store = MemoryStore()
    job = store.create_job(SPEC).id
    for attempt in range(3 * MOST_DEATHS):
        die(store, tmp_path, job)
        if attempt % 2:
            get_further(store, job, attempt)


def test_who_resumes_by_hand_may_do_so_for_ever(tmp_path: Path) -> None:
    store = MemoryStore()
    job = store.create_job(SPEC).id
    for _ in range(2 * MOST_DEATHS):
        die(store, tmp_path, job, restarts=ON_REQUEST)


def test_an_outage_of_the_store_leaves_a_job_to_be_taken_up_again(tmp_path: Path) -> None:
    store = MemoryStore()
    job = store.create_job(SPEC).id
    outage = StoreUnavailable("the server closed the connection")
    for _ in range(MOST_DEATHS):
        with pytest.raises(StoreUnavailable):
            controller(store, tmp_path, outage).run(job, lambda: False)
        assert store.job(job).status is JobStatus.RUNNING
        assert [found.id for found in store.runnable(1)] == [job]
    assert any("closed the connection" in event.message for event in store.events(job))
    with pytest.raises(JobFailed):
        controller(store, tmp_path, outage).run(job, lambda: False)
    # Whoever asked for it is told at once.
    other = store.create_job(SPEC).id
    with pytest.raises(StoreUnavailable):
        controller(store, tmp_path, outage, restarts=ON_REQUEST).run(other, lambda: False)
    assert store.job(other).status is JobStatus.FAILED
    assert isinstance(store.job(other).failure(), StoreUnavailable)


def test_a_cancelled_job_is_not_begun(tmp_path: Path) -> None:
    store = MemoryStore()
    job = store.create_job(SPEC).id
    store.set_job(job, JobStatus.CANCELLED, None)
    assert controller(store, tmp_path, Killed()).run(job, lambda: False).status is JobStatus.CANCELLED


@pytest.mark.parametrize(
    ("restarts", "asked", "left"),
    [
        (AUTOMATIC, False, JobStatus.QUEUED),
        (AUTOMATIC, True, JobStatus.INTERRUPTED),
        (ON_REQUEST, False, JobStatus.INTERRUPTED),
    ],
)
def test_who_wanted_it_to_stop_says_how_a_job_is_left(
    tmp_path: Path, restarts: RestartPolicy, asked: bool, left: JobStatus
) -> None:
    store = MemoryStore()
    job = store.create_job(SPEC).id
    if asked:
        ask_to_stop(store, job)
    with pytest.raises(JobInterrupted):
        controller(store, tmp_path, Killed(), restarts).run(job, lambda: True)
    assert store.job(job).status is left
    assert store.events(job)[-1].message == left


def test_a_job_that_was_interrupted_meanwhile_waits_for_its_user(tmp_path: Path) -> None:
    store = MemoryStore()
    job = store.create_job(SPEC).id
    store.set_job(job, JobStatus.INTERRUPTED, StageName.PROFILE)
    assert controller(store, tmp_path, Killed()).run(job, lambda: False).status is JobStatus.INTERRUPTED
    with pytest.raises(Killed):
        controller(store, tmp_path, Killed(), restarts=ON_REQUEST).run(job, lambda: False)


def test_verifying_does_not_take_a_running_job_from_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.controller.lease.LEASE_SECONDS", 1.0)
    store = MemoryStore()
    job = store.create_job(SPEC).id
    runs = controller(store, tmp_path, Killed())
    with JobLease(store, job):
        with pytest.raises(Busy):
            runs.verify(
                job, resolve(SPEC).space.decode(resolve(SPEC).space.sample(1, np.random.default_rng(0)))[0]
            )
        assert store.lease_owner(job) is not None, "still held"
