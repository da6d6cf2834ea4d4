"""The devices of an embedded service: whoever connects, and this machine as a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.errors import NoWorker, ServiceUnavailable
from nas.service.door import WorkerDoor
from workers.errors import WorkerError
from workers.request import MeasurementRequest, Outcome
from workers.server import WorkerServer
from workers.target import Target

__all__ = ["LOCAL_DEVICE", "EmbeddedFleet"]

LOCAL_DEVICE = "local-cpu"
"""The device name that stands for this machine: a worker process is started for it."""

STOP_SECONDS = 5.0

MOST_WORKERS = 512
"""Connected at once; each holds two threads of this process."""


class EmbeddedFleet:
    """A worker server on loopback that starts on first use, and a worker process for this machine.

    Args:
        home: folder for the worker process's log.
        door: where it listens, and whom it lets in.
    """

    def __init__(self, home: Path, door: WorkerDoor) -> None:
        self._home = home
        self._secret = door.secret
        self._server = WorkerServer(door.bind, admits=door.admits, tls=door.tls, max_sessions=MOST_WORKERS)
        self._lock = threading.Lock()
        self._address: str | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def wait_for(self, target: Target, timeout: float) -> None:
        """Return once a worker serves the target; this machine's own worker is started for it.

        Raises:
            NoWorker: nobody did within `timeout` seconds; says who is connected and how to connect.
        """
        self.start()
        self._lend_this_machine(target)
        try:
            self._server.wait_for(target, timeout)
        except WorkerError as error:
            raise NoWorker(f"{error}{self._worker_log()}") from error

    def measure(
        self, requests: Iterable[MeasurementRequest], cancelled: Callable[[], bool] | None = None
    ) -> Iterator[Outcome]:
        """See `WorkerServer.measure`.

        Raises:
            NoWorker: the last worker that serves a target went, and none came in its place.
        """
        try:
            yield from self._server.measure(requests, cancelled)
        except WorkerError as error:
            raise NoWorker(f"{error}{self._worker_log()}") from error

    def start(self) -> str:
        """Listen, where that is not so yet; returns the address for workers, ``HOST:PORT``."""
        with self._lock:
            if self._address is None:
                try:
                    self._address = self._server.start()
                except WorkerError as error:
                    raise ServiceUnavailable(str(error)) from error
            return self._address

    def serves(self, target: Target) -> bool:
        """Whether a device that is connected now does, or this machine would."""
        return target.device == LOCAL_DEVICE or self._server.serves(target)

    def devices(self) -> list[dict[str, Any]]:
        """Devices that are connected now, as plain data."""
        return [asdict(device) for device in self._server.devices()]

    def _lend_this_machine(self, target: Target) -> None:
        with self._lock:
            ended = self._process is None or self._process.poll() is not None
            if target.device == LOCAL_DEVICE and ended and not self._server.serves(target):
                self._process = self._spawn(self._server.local_address)

    def _spawn(self, address: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "workers", "--connect", address, "--device", LOCAL_DEVICE, "--once"]
        self._home.mkdir(parents=True, exist_ok=True)
        shown = {} if self._secret is None else {"NAS_TOKEN": self._secret}
        with (self._home / "worker.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **shown, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the service, which then stops its worker
            )

    def _worker_log(self) -> str:
        path = self._home / "worker.log"
        if self._process is None or self._process.poll() is None or not path.exists():
            return ""
        return f"; this machine's worker ended with status {self._process.returncode}, see {path}"

    def close(self) -> None:
        """Stop the worker process and the server."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_SECONDS)
                if self._process.poll() is None:
                    self._process.kill()
                    self._process.wait(STOP_SECONDS)
            if self._address is not None:
                self._server.stop()
                self._address = None
