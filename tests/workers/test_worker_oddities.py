"""Workers that are odd but honest: another clock, a slow one, one that repeats itself, a later version."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from raw_worker import HERE, SECONDS, RawWorker, measuring

from workers.measurement import Measurement
from workers.messages import PROTOCOL_VERSION, Heartbeat, Register
from workers.request import MeasurementRequest
from workers.rpc.convert import worker_message_to_wire
from workers.rpc.v1 import worker_pb2 as wire
from workers.server import WorkerServer
from workers.target import Target, Workload

MakeServer = Callable[..., WorkerServer]
MakeRequest = Callable[..., MeasurementRequest]

OFF = """
import sys, time, types
import grpc._channel
real = time.time
time.time = lambda: real() + {seconds}
# Its deadlines are compared with the system's clock in C, which cannot be moved here.
grpc._channel.time = types.SimpleNamespace(time=real, perf_counter=time.perf_counter)
from workers.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_worker_whose_clock_is_an_hour_off(
    make_server: MakeServer, make_request: MakeRequest, seconds: int, tmp_path: Path
) -> None:
    """A real process: leases, heartbeats and times of measurement go by the service's clock and by elapsed
    time."""
    server = make_server(lease_seconds=1.0)
    arguments = ["--connect", server.address, "--device", "bench", "--once"]
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-c", OFF.format(seconds=seconds), *arguments],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        server.wait_for(Target("bench", workload=Workload(tokens=64)), SECONDS)
        before = time.time()
        (outcome,) = server.measure([make_request()])
        assert isinstance(outcome, Measurement)
        assert before <= outcome.measured_at <= time.time()
        time.sleep(1.3)  # longer than a lease: heartbeats keep it
        assert [device.name for device in server.devices()] == ["bench"]
    finally:
        worker.terminate()
        assert worker.wait(SECONDS) == 0


def test_a_worker_too_slow_loses_its_measurement_to_another_and_its_late_answer_changes_nothing(
    make_server: MakeServer, make_request: MakeRequest
) -> None:
    server = make_server(measurement_seconds=0.5)
    wait = measuring(server, make_request())
    with RawWorker(server.address) as slow:
        slow.register()
        lease = slow.lease()
        alive = threading.Event()

        def beat() -> None:
            while not alive.wait(0.1):
                slow.outbox.put(worker_message_to_wire(Heartbeat()))

        threading.Thread(target=beat, daemon=True).start()
        with RawWorker(server.address) as quick:
            quick.register()
            second = quick.lease()  # comes only once the slow one's time is over
            assert second.digest == lease.digest
            slow.report(lease, 50.0)
            quick.report(second, 6.0)
            (outcome,) = wait()
        alive.set()
    assert isinstance(outcome, Measurement)
    assert outcome.latency_ms == 6.0


def test_a_worker_that_says_everything_twice_is_served_and_counted_once(
    make_server: MakeServer, make_request: MakeRequest
) -> None:
    """Its second Register is an offence, and forgiven; a second result changes nothing and is none."""
    server = make_server()
    expected = [("a", 5.0), ("b", 7.0), ("c", 6.0), ("d", 8.0)]
    wait = measuring(server, *(make_request(digest) for digest, _ in expected))
    with RawWorker(server.address) as worker:
        worker.register()
        worker.outbox.put(worker_message_to_wire(Register(HERE)))
        for digest, latency in expected:
            lease = worker.lease()
            assert lease.digest == digest
            for _ in range(2):
                worker.outbox.put(worker_message_to_wire(Heartbeat()))
                worker.report(lease, latency)
        outcomes = wait()
        assert len(server.devices()) == 1
    assert [(o.digest, o.latency_ms) for o in outcomes if isinstance(o, Measurement)] == expected


def with_unknown_field(message: wire.WorkerMessage) -> bytes:
    """As a later minor version might send it: field 99, of text, beside what is known and within it."""
    unknown = bytes([0x9A, 0x06, 0x05]) + b"later"
    kind = message.WhichOneof("message")
    inner = getattr(message, kind)
    inner.MergeFromString(inner.SerializeToString() + unknown)
    return message.SerializeToString() + unknown


def test_fields_of_a_later_minor_version_are_passed_over(
    make_server: MakeServer, make_request: MakeRequest
) -> None:
    server = make_server()
    wait = measuring(server, make_request())
    with RawWorker(server.address, raw=True) as worker:
        worker.outbox.put(with_unknown_field(worker_message_to_wire(Register(HERE))))
        lease = worker.lease()
        worker.outbox.put(with_unknown_field(worker_message_to_wire(Heartbeat())))
        worker.outbox.put(with_unknown_field(worker.answer(lease, 5.5)))
        (outcome,) = wait()
    assert isinstance(outcome, Measurement)
    assert outcome.latency_ms == 5.5


def test_messages_of_a_later_minor_version_are_refused_until_the_worker_is(make_server: MakeServer) -> None:
    """An unknown kind of message cannot be passed over silently: the worker might wait for its answer."""
    with RawWorker(make_server().address, raw=True) as worker:
        worker.outbox.put(worker_message_to_wire(Register(HERE)).SerializeToString())
        next(worker.replies)
        for _ in range(3):
            worker.outbox.put(bytes([0x9A, 0x06, 0x05]) + b"later")
        error = worker.ending()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "does not belong to this protocol" in error.details()


def test_a_worker_of_a_later_major_version_is_told_to_wait_for_the_service(make_server: MakeServer) -> None:
    with RawWorker(make_server().address) as worker:
        worker.outbox.put(worker_message_to_wire(Register(HERE, 7)))
        error = worker.ending()
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    said = f"the worker speaks protocol 7, the service {PROTOCOL_VERSION}; update the service"
    assert error.details() == said
