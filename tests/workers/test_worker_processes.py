"""Worker processes and a server, over a socket: what users run."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.measurement import Measurement
from workers.request import MeasurementFailure, MeasurementRequest
from workers.server import WorkerServer
from workers.target import Target, Workload
from workers.timing import TimingProtocol

TARGET = Target("bench", workload=Workload(tokens=64))
SECONDS = 30
"""No wait of these tests is longer; a correct worker ends each in a fraction of it."""

SLOW = TimingProtocol(warm_up=0, min_repeats=3, max_repeats=10**6, goal_error=1e-9, max_seconds=1.5)
"""Never content, so that there is a middle to disturb."""

MakeServer = Callable[..., WorkerServer]
MakeRequest = Callable[..., MeasurementRequest]
StartWorker = Callable[..., "subprocess.Popen[bytes]"]


def test_measures_and_a_bad_model_stops_nothing(
    make_server: MakeServer, start_worker: StartWorker, make_request: MakeRequest
) -> None:
    server = make_server()
    worker = start_worker(server.address, "--once")
    server.wait_for(TARGET, SECONDS)
    requests = [
        make_request("first", reference_ms=None),
        make_request("garbage", model=b"garbage"),
        make_request("int8", target=Target("bench", dtype="int8", workload=Workload(tokens=64))),
        make_request("vocabulary", vocabulary=1000),
        make_request("last"),
    ]
    outcomes = {outcome.digest: outcome for outcome in server.measure(requests)}
    assert set(outcomes) == {"first", "garbage", "int8", "vocabulary", "last"}
    for digest in ("garbage", "vocabulary"):
        failure = outcomes[digest]
        assert isinstance(failure, MeasurementFailure)
        assert not failure.retryable
        assert "onnxruntime does not" in failure.reason
    for digest in ("first", "int8", "last"):
        measurement = outcomes[digest]
        assert isinstance(measurement, Measurement)
        assert measurement.repeats >= 3
        assert measurement.measured_at > 0
    last = outcomes["last"]
    assert isinstance(last, Measurement)
    assert last.reference_ms == 0.5
    server.stop()
    assert worker.wait(SECONDS) == 0


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_ends_in_the_middle_loses_nothing_and_doubles_nothing(
    end: signal.Signals, make_server: MakeServer, start_worker: StartWorker, make_request: MakeRequest
) -> None:
    server = make_server()
    first = start_worker(server.address)
    server.wait_for(TARGET, SECONDS)
    digests = list("abcde")
    requests = (make_request(d, protocol=SLOW) if d == "c" else make_request(d) for d in digests)
    measured = []
    for outcome in server.measure(requests):
        assert isinstance(outcome, Measurement)
        measured.append(outcome.digest)
        if len(measured) == 2:
            time.sleep(0.3)
            (device,) = server.devices()
            assert device.busy, "the worker is in the middle of c"
            first.send_signal(end)
            assert first.wait(SECONDS) == (0 if end is signal.SIGTERM else -signal.SIGKILL)
            start_worker(server.address)
    assert measured == digests


def test_an_idle_worker_ends_at_once_when_asked(make_server: MakeServer, start_worker: StartWorker) -> None:
    server = make_server()
    worker = start_worker(server.address)
    server.wait_for(TARGET, SECONDS)
    worker.send_signal(signal.SIGINT)
    assert worker.wait(SECONDS) == 0
    assert not server.serves(TARGET)


def test_a_worker_comes_back_to_a_service_that_was_restarted(
    make_server: MakeServer, start_worker: StartWorker, make_request: MakeRequest
) -> None:
    first = make_server()
    start_worker(first.address)
    first.wait_for(TARGET, SECONDS)
    first.stop()
    second = make_server(bind=first.address)
    second.wait_for(TARGET, SECONDS)
    (outcome,) = second.measure([make_request()])
    assert isinstance(outcome, Measurement)


def test_a_slow_measurement_is_renewed_by_heartbeats(
    make_server: MakeServer, start_worker: StartWorker, make_request: MakeRequest
) -> None:
    server = make_server(lease_seconds=1.0)  # shorter than the measurement takes
    start_worker(server.address)
    server.wait_for(TARGET, SECONDS)
    (before,) = server.devices()
    (outcome,) = server.measure([make_request(protocol=SLOW)])
    assert isinstance(outcome, Measurement)
    (after,) = server.devices()
    assert after.connected_since == before.connected_since


def test_a_worker_without_the_token_says_so_and_gives_up(
    make_server: MakeServer, start_worker: StartWorker, tmp_path: Path
) -> None:
    server = make_server(token="open-sesame")
    wrong = start_worker(server.address, token="hocus-pocus")
    right = start_worker(server.address, token="open-sesame")
    assert wrong.wait(SECONDS) == 1
    server.wait_for(TARGET, SECONDS)
    assert right.poll() is None
    said = (tmp_path / "worker-0.log").read_text()
    assert "refused this worker: the token is missing or is not the service's" in said
    right.terminate()
    right.wait(SECONDS)
    for log in tmp_path.glob("worker-*.log"):
        assert "sesame" not in log.read_text()
        assert "hocus" not in log.read_text()


def test_a_worker_that_reaches_nobody_says_so(start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker("127.0.0.1:1", "--once")
    assert worker.wait(SECONDS) == 1
    assert "worker: cannot reach 127.0.0.1:1" in (tmp_path / "worker-0.log").read_text()
