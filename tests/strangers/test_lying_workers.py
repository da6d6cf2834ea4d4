"""What a worker that lies gets, over a real socket: its word is not taken, it is told why, and its work goes
to somebody else."""

from __future__ import annotations

import math
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workers"))
from raw_worker import HERE, RawWorker, measuring

from workers.errors import NoWorkerServes
from workers.measurement import Measurement
from workers.messages import Failure
from workers.request import DeviceNote, MeasurementFailure, MeasurementRequest, Outcome
from workers.rpc.convert import worker_message_to_wire
from workers.server import WorkerServer
from workers.standing import FAILURES_IN_A_ROW
from workers.target import Target

MEMORY = 1 << 40
"""Of every worker here."""

LIES: dict[str, tuple[dict[str, Any], str]] = {
    "1e300 ms": ({"latency_ms": 1e300}, "worked on for 1e.300 ms took 5.1 ms"),
    "1e-300 ms": ({"latency_ms": 1e-300}, "no clock tells less"),
    "a nanosecond": ({"latency_ms": 1e-6, "wall_ms": 1e-6}, "no clock tells less"),
    "longer than its lease was out": (
        {"latency_ms": 1e6, "wall_ms": 1e6},
        "do not fit in the .* s that the lease was out",
    ),
    "a million repeats": ({"repeats": 1_000_000}, "do not fit in the"),
    "a million calls in a row": ({"calls": 1_000_000}, "do not fit in the"),
    "more work than time": ({"latency_ms": 50.0}, "worked on for 50 ms took 5.1 ms"),
    "a drift of a billion": ({"drift": 1e9}, "worked on for"),
    "a spread of a billion": ({"spread_ms": 1e9}, "spread or error of 1e.09 ms"),
    "an error of a billion": ({"error_ms": 1e9}, "spread or error of 1e.09 ms"),
    "another reference": ({"reference_ms": 2.1}, "against a reference of 2.1 ms, not 0.5 ms"),
    "no number": ({"latency_ms": math.nan}, "latency_ms is nan"),
    "an infinite number": ({"wall_ms": math.inf}, "wall_ms is inf"),
    "a negative number": ({"latency_ms": -1.0}, "latency_ms is -1"),
    "nothing": ({"latency_ms": 0.0}, "latency_ms is 0"),
    "a negative error": ({"error_ms": -1.0}, "error_ms is -1"),
    "no repeats": ({"repeats": 0}, "repeats is 0"),
    "more memory than machines have": (
        {"peak_memory_bytes": 2**64 - 1},
        "peak_memory_bytes is 18446744073709551615",
    ),
    "more memory than its own": (
        {"peak_memory_bytes": 2**50},
        f"at most {MEMORY}, what liar-.* says that it has",
    ),
    "another model": ({"digest": "b" * 16}, "answers the lease of"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[WorkerServer]:
    server = WorkerServer(no_worker_seconds=1.0)
    server.start()
    yield server
    server.stop()


def wanted(device: str, digest: str = "a") -> MeasurementRequest:
    return MeasurementRequest(digest, Target(device), b"model", b"reference", 64, 0.5)


def worker(server: WorkerServer, device: str) -> RawWorker:
    found = RawWorker(server.address)
    found.register(replace(HERE, device=device, memory_bytes=MEMORY))
    return found


def outcomes_of(kind: type, outcomes: list[Outcome]) -> list[Any]:
    return [outcome for outcome in outcomes if isinstance(outcome, kind)]


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_and_named(server: WorkerServer, lie: str) -> None:
    fields, message = LIES[lie]
    device = f"liar-{list(LIES).index(lie)}"
    with worker(server, device) as liar:
        outcomes = measuring(server, wanted(device))
        for _ in range(3):
            liar.report(liar.lease(), **fields)
        ending = liar.ending()
        assert ending.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert re.search(message, ending.details())
        (failure,) = outcomes_of(MeasurementFailure, outcomes())
    assert re.search(message, failure.reason)
    assert failure.retryable


def test_what_a_liar_was_asked_is_measured_by_somebody_else(server: WorkerServer) -> None:
    with worker(server, "shared") as liar:
        outcomes = measuring(server, wanted("shared"))
        lease = liar.lease()
        with worker(server, "shared") as honest:
            liar.report(lease, latency_ms=1e300)
            honest.report(honest.lease())
            (measurement,) = outcomes()
    assert isinstance(measurement, Measurement)
    assert measurement.latency_ms == 5.0


def refuse(worker: RawWorker, reason: str, retryable: bool) -> None:
    lease = worker.lease()
    worker.outbox.put(worker_message_to_wire(Failure(lease.lease_id, reason, retryable)))


def test_one_workers_refusal_ends_a_model_for_nobody_else(server: WorkerServer) -> None:
    with worker(server, "picky") as picky:
        outcomes = measuring(server, wanted("picky"))
        lease = picky.lease()
        with worker(server, "picky") as other:
            picky.outbox.put(worker_message_to_wire(Failure(lease.lease_id, "I do not like it", False)))
            other.report(other.lease())
            (measurement,) = outcomes_of(Measurement, outcomes())
    assert measurement.digest == "a"


def test_who_fails_again_and_again_is_quarantined_and_told_of(server: WorkerServer) -> None:
    device = "broken"
    told: list[Outcome] = []

    def fail(broken: RawWorker) -> None:
        for _ in range(FAILURES_IN_A_ROW):
            refuse(broken, "out of order", True)

    def ask() -> None:
        for outcome in server.measure([wanted(device, digest) for digest in "abcd"]):
            told.append(outcome)

    with worker(server, device) as broken:
        failing = threading.Thread(target=fail, args=(broken,), daemon=True)
        failing.start()
        with pytest.raises(NoWorkerServes, match=r"broken is quarantined for .*: out of order"):
            ask()
        failing.join()
        (listed,) = [found for found in server.devices() if found.name == device]
        assert listed.failed == FAILURES_IN_A_ROW
        assert listed.quarantined_seconds > 0
        assert listed.last_failure == "out of order"
        assert not server.serves(Target(device))
    (note,) = outcomes_of(DeviceNote, told)
    assert "failed 5 times in a row, the last: out of order" in note.message
