"""Whole jobs beside workers that lie, and on a store that an earlier version let lies into: each ends, with
numbers that can be, and what others measure is what counts."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workers"))
sys.path.insert(0, str(Path(__file__).parents[1] / "nas" / "bench"))
import raw_worker
import simulated
from raw_worker import HERE, RawWorker

from nas.bench.backends import SimulatedComputeBackend
from nas.controller.controller import Controller
from nas.job import Job, JobStatus
from nas.objectives.latency_ms import LATENCY
from nas.planning.plan import resolve
from nas.service.running.measurement import WorkerMeasurementBackend
from nas.service.running.worker_endpoint import WorkerEndpoint
from nas.spec import StageName
from nas.stages.states import ProfileState
from nas.store import open_store
from nas.store.store import Store
from workers.measurement import Measurement
from workers.rpc.v1 import worker_pb2 as wire
from workers.target import Target

BELIEVABLE_MS = 100.0
"""No model of these devices takes a tenth of it."""

Answer = Callable[[wire.Lease, float], dict[str, float]]
"""What a worker reports of a lease, besides what an honest one does, given what that would measure."""


def honest(lease: wire.Lease, latency_ms: float) -> dict[str, float]:
    return {"latency_ms": latency_ms, "wall_ms": 1.02 * latency_ms}


def absurd(lease: wire.Lease, latency_ms: float) -> dict[str, float]:
    return {"latency_ms": 1e300 if int(lease.digest[-1], 16) % 2 else 1e-300}


def within_what_is_possible(lease: wire.Lease, latency_ms: float) -> dict[str, float]:
    """A model in eight takes ten times as long."""
    return honest(lease, latency_ms * (10 if int(lease.digest[-1], 16) % 8 == 0 else 1))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(raw_worker, "SECONDS", 300)  # of a whole job
    return tmp_path


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with closing(open_store(home)) as store:
        yield store


@contextmanager
def working(store: Store, address: str, device: str, answer: Answer) -> Iterator[None]:
    """A worker in a thread, which comes again whenever it is thrown out."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with suppress(grpc.RpcError, StopIteration), RawWorker(address) as worker:
                worker.register(replace(HERE, device=device))
                while not over.is_set():
                    lease = worker.lease()
                    (architecture,) = store.architectures([lease.digest]).values()
                    lease.reference_ms = lease.reference_ms or 1.0  # the first tells what it takes
                    latency_ms = simulated.DEVICES[device](architecture, Target(device))
                    worker.report(lease, **answer(lease, latency_ms))
            over.wait(0.2)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    over.set()


def run(store: Store, home: Path, device: str, *answers: Answer) -> Job:
    """A job through all stages on a device that so many workers are, all of them over sockets."""
    backend = WorkerMeasurementBackend(home, WorkerEndpoint())
    job = store.create_job(simulated.spec(device))
    controller = Controller(store, home, backend, SimulatedComputeBackend(simulated.quality))
    try:
        with ExitStack() as opened:
            for answer in answers:
                opened.enter_context(working(store, backend.start(), device, answer))
            return controller.run(job.id, lambda: False)
    finally:
        backend.close()


def check(store: Store, job: Job) -> float:
    """Every number of the job can be; the mean error of its predictions on architectures never seen."""
    assert job.status is JobStatus.SUCCEEDED, job.error
    (target,) = resolve(job.spec).targets
    assert all(m.corrected.latency_ms < BELIEVABLE_MS for m in store.measurements(target))
    points = store.points(job.id)
    assert any(point.on_front for point in points)
    for point in points:
        value = point.values[LATENCY, str(target)]
        assert np.isfinite([value.predicted, value.predicted_std]).all()
        assert 0 < value.predicted < BELIEVABLE_MS
    return ProfileState.load(store, job.id, StageName.PROFILE).profiles[str(target)].mape


def test_absurd_latencies_poison_neither_their_job_nor_the_next(store: Store, home: Path) -> None:
    """Of two workers of one device one says 1e300 or 1e-300 ms of everything, as often as it is let in."""
    assert check(store, run(store, home, "phone", absurd, honest)) < 0.1
    assert check(store, run(store, home, "board", honest)) < 0.1


def test_lies_that_nobody_can_see_through_end_no_job(store: Store, home: Path) -> None:
    """What they say is believed: predictions of their own device are worse for it, of others they are not."""
    check(store, run(store, home, "phone", within_what_is_possible))
    assert check(store, run(store, home, "board", honest)) < 0.1


def test_a_store_that_was_poisoned_before_serves_the_next_job(store: Store, home: Path) -> None:
    """Measurements of a version that believed everything, on another target of the same space."""
    plan = resolve(simulated.spec("server"))
    architectures = plan.space.decode(np.unique(plan.space.sample(16, np.random.default_rng(0)), axis=0))
    store.put_architectures(architectures)
    for number, architecture in enumerate(architectures):
        absurdity = 1e300 if number % 2 else 1e-300
        rest = (0.0, 0.0, absurdity, 1.0, 1.0, 0, 10, 0, False)
        assert store.add_measurement(Measurement(architecture.digest, plan.targets[0], absurdity, *rest))
    assert check(store, run(store, home, "phone", honest)) < 0.1
