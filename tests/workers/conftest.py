"""Small real models, a real server, real worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas.testing.models import VOCABULARY, build_model, build_submodel
from workers.request import MeasurementRequest
from workers.server import WorkerServer
from workers.target import Target, Workload
from workers.timing import TimingProtocol

QUICK = TimingProtocol(warm_up=1, min_repeats=3, max_repeats=5, goal_error=0.5, max_seconds=0.5)
TARGET = Target("bench", workload=Workload(tokens=64))


@pytest.fixture(scope="session")
def make_model() -> Callable[..., bytes]:
    return build_model


@pytest.fixture(scope="session")
def make_submodel() -> Callable[..., bytes]:
    return build_submodel


@pytest.fixture(scope="session")
def make_request() -> Callable[..., MeasurementRequest]:
    """A request for a small model; any field may be given."""
    model, reference = build_model(width=64, layers=4), build_model(width=64, layers=2)

    def make(digest: str = "a", **fields: object) -> MeasurementRequest:
        values = {
            "target": TARGET,
            "model": model,
            "reference": reference,
            "vocabulary": VOCABULARY,
            "reference_ms": 0.5,
            "protocol": QUICK,
            **fields,
        }
        return MeasurementRequest(digest=digest, **values)  # type: ignore[arg-type]

    return make


@pytest.fixture
def make_server() -> Iterator[Callable[..., WorkerServer]]:
    """Started servers, stopped after the test; `server.address` is where they listen."""
    servers: list[WorkerServer] = []

    def make(**options: object) -> WorkerServer:
        server = WorkerServer(**options)  # type: ignore[arg-type]
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Worker processes, killed after the test; what they say is in `tmp_path/worker-N.log`."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(address: str, *arguments: str, token: str | None = None) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("NAS_TOKEN", None)
        if token is not None:
            environment["NAS_TOKEN"] = token
        command = [sys.executable, "-m", "workers", "--connect", address, "--device", TARGET.device]
        with (tmp_path / f"worker-{len(processes)}.log").open("wb") as output:
            process = subprocess.Popen(
                [*command, *arguments], stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
