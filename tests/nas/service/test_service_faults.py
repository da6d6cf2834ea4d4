"""A real `nas serve` process, killed and started again: nothing is lost, nothing is left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nas.front import Scope
from nas.job import EventKind, JobStatus
from nas.service.client.remote import RemoteService
from nas.store import open_store

SPEC = {
    "name": "kill",
    "space": {
        "name": "tiny",
        "context": 32,
        "width": [16],
        "depth": [1, 2],
        "layer": {"mixer": ["none", "softmax", "linear"], "heads": [2], "ratio": [1, 2]},
    },
    "task": {"name": "recall", "evaluation_context": 64, "evaluation_tokens": 512, "pairs": 4},
    "targets": [{"device": "local-cpu", "tokens": 32}],
    "budget": {
        "profile": {"measurements": 6, "minimum": 4, "holdout": 3, "tolerance": 0.5},
        "train": {"steps": 60, "batch": 4},
        "search": {"evaluations": 12, "batch": 4, "strategy": "random"},
        "verify": {"rounds": 1, "tolerance": 0.5, "evaluations": 2},
    },
}


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def serving(home: Path, port: int, parallel: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A service in a process group of its own, so that none of its children can be missed."""
    command = [
        str(Path(sys.executable).parent / "nas"),
        *("--home", str(home), "serve", "--bind", f"127.0.0.1:{port}", "--workers", "127.0.0.1:0"),
        *("--parallel", str(parallel), "--log-level", "WARNING"),
    ]
    with (home.parent / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            command, stderr=log, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def answering(client: RemoteService) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            client.check_health()
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_sigterm_ends_a_service_in_order(tmp_path: Path) -> None:
    port = unused_port()
    with (
        serving(tmp_path / "home", port, parallel=0) as process,
        RemoteService(f"127.0.0.1:{port}") as client,
    ):
        answering(client)
        job = client.submit(SPEC)
    assert process.returncode == 0
    assert open_store(tmp_path / "home").job(job.id).status is JobStatus.QUEUED


@pytest.mark.slow
def test_a_job_outlives_the_kill_of_its_service_in_every_stage(tmp_path: Path) -> None:
    """The watcher is one generator throughout: it reconnects by itself and sees every event once."""
    port, home = unused_port(), tmp_path / "home"
    seen: list[Any] = []
    killed: set[str] = set()
    with RemoteService(f"127.0.0.1:{port}") as client:
        watching = None
        while len(killed) < 5:
            with serving(home, port) as process:
                answering(client)
                if watching is None:
                    watching = client.watch(client.submit(SPEC).id)
                for event in watching:
                    seen.append(event)
                    stage = str(event.stage)
                    if event.kind is EventKind.STAGE and event.message == "started" and stage not in killed:
                        killed.add(stage)
                        process.kill()
                        process.wait()
                        break
                else:
                    break
        assert killed == {"profile", "train", "search", "verify"}
        with serving(home, port):
            answering(client)
            job = client.jobs()[0]
            assert job.status is JobStatus.SUCCEEDED
            front = client.front(job.id)
            optimum = client.optimum(job.id, verify=True)
            assert optimum.point.verified
            assert optimum.point in client.front(job.id, Scope.ALL).points
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert any(point.on_front for point in front.points)
    store = open_store(home)
    (target,) = store.targets()
    digests = [measurement.digest for measurement in store.measurements(target)]
    assert len(set(digests)) == len(digests)
