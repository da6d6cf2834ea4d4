"""What is left of a worker's processes once they are ended: nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from test_isolated import endless

from workers.errors import MeasurementCancelled, WorkerError
from workers.isolated import IsolatedMeasuring
from workers.measuring import describe_device
from workers.request import MeasurementRequest
from workers.server import WorkerServer
from workers.target import Target, Workload

MakeServer = Callable[..., WorkerServer]
MakeRequest = Callable[..., MeasurementRequest]
StartWorker = Callable[..., "subprocess.Popen[bytes]"]

WORKLOAD = Workload(tokens=64)
SECONDS = 60
"""No wait of these tests is longer; what is tested takes a fraction of it."""


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What temporary files are put into, by this process and those that it starts."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield folder
    monkeypatch.setattr("tempfile.tempdir", None)


def test_a_cancelled_quantisation_leaves_no_files(
    scratch: Path, make_request: MakeRequest, make_model: Callable[..., bytes]
) -> None:
    here = describe_device("bench")
    target = Target("bench", dtype="int8", workload=WORKLOAD)
    large = make_request(model=make_model(width=2000, layers=6), target=target)
    quantising = []

    def cancelled() -> bool:
        quantising.extend(scratch.rglob("nas-int8-*"))
        return bool(quantising)

    measuring = IsolatedMeasuring()
    try:
        with pytest.raises(MeasurementCancelled):
            measuring.measure(large, here, cancelled)
        assert quantising
        assert not list(scratch.iterdir())
        assert measuring.measure(make_request(target=target), here).latency_ms > 0
        (folder,) = scratch.iterdir()
        shutil.rmtree(folder)  # as cleaners of temporary folders do
        assert measuring.measure(make_request(target=target), here).latency_ms > 0
    finally:
        measuring.close()
    assert not list(scratch.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
def test_nothing_outlives_a_worker_that_is_killed(
    scratch: Path, make_server: MakeServer, start_worker: StartWorker, make_request: MakeRequest
) -> None:
    server = make_server()
    worker = start_worker(server.address)
    server.wait_for(Target("bench", workload=WORKLOAD), SECONDS)

    def measure() -> None:
        with suppress(WorkerError):  # the server stops before there is a measurement
            list(server.measure([make_request(model=endless())]))

    threading.Thread(target=measure, daemon=True).start()
    (timing,) = children(worker.pid)
    until(lambda: busy(timing))
    processes = [timing, *children(timing)]
    assert len(processes) == 2, "one times, one tells what memory models take"
    worker.send_signal(signal.SIGKILL)
    worker.wait(SECONDS)
    try:
        until(lambda: not any(map(alive, processes)), 10)
        assert not list(scratch.iterdir())
    finally:
        for process in filter(alive, processes):
            os.kill(process, signal.SIGKILL)


def children(process: int) -> list[int]:
    return [
        int(child)
        for thread in Path(f"/proc/{process}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]


def busy(process: int) -> bool:
    """It has worked for longer than it takes to begin with the model."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    now = int(fields[11]) / os.sysconf("SC_CLK_TCK")
    return now > 4 + BEGAN.setdefault(process, now)


BEGAN: dict[int, float] = {}


def alive(process: int) -> bool:
    """One that ended and that nobody waits for has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
