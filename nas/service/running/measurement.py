"""The devices of an embedded service: whoever connects, and this machine as a process of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.errors import NoWorker, as_nas_error
from nas.service.running.worker_endpoint import WorkerEndpoint
from workers.children import module_path, python_module
from workers.errors import WorkerError
from workers.request import MeasurementRequest, Outcome
from workers.server import WorkerServer
from workers.target import Target
from workers.tls import TlsFileError

__all__ = ["LOCAL_DEVICE", "WorkerMeasurementBackend"]

LOCAL_DEVICE = "local-cpu"
"""The device name that stands for this machine: a worker process is started for it."""

STOP_SECONDS = 5.0

RESTART_SECONDS = 0.5
"""Before a worker process that ended is started again; twice as long each time that it ends soon again."""

STEADY_SECONDS = 30.0
"""A worker that ran this long started well."""

_LOG = logging.getLogger("nas.measurement")

MOST_WORKERS = 512
"""Connected at once; each holds two threads of this process."""


class WorkerMeasurementBackend:
    """A worker server on loopback that starts on first use, and a worker process for this machine.

    Args:
        home: folder for the worker process's log.
        endpoint: where it listens, and whom it admits.
    """

    def __init__(self, home: Path, endpoint: WorkerEndpoint) -> None:
        self._home = home
        self._secret = endpoint.secret
        self._server = WorkerServer(
            endpoint.bind, admits=endpoint.admits, tls=endpoint.tls, max_sessions=MOST_WORKERS
        )
        self._lock = threading.Lock()
        self._address: str | None = None
        self._worker: _LocalWorker | None = None

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
                except (WorkerError, TlsFileError) as error:
                    raise as_nas_error(error) from error
            return self._address

    def serves(self, target: Target) -> bool:
        """Whether a device that is connected now does, or this machine would."""
        return target.device == LOCAL_DEVICE or self._server.serves(target)

    def devices(self) -> list[dict[str, Any]]:
        """Devices that are connected now, as plain data."""
        return [asdict(device) for device in self._server.devices()]

    def _lend_this_machine(self, target: Target) -> None:
        with self._lock:
            if target.device == LOCAL_DEVICE and self._worker is None and not self._server.serves(target):
                self._worker = _LocalWorker(self._home, self._server.local_address, self._secret)

    def _worker_log(self) -> str:
        worker = self._worker
        if worker is None or worker.last_status is None:
            return ""
        return f"; this machine's worker ended with status {worker.last_status}, see {worker.log}"

    def close(self) -> None:
        """Stop the worker process and the server."""
        with self._lock:
            if self._worker is not None:
                self._worker.close()
                self._worker = None
            if self._address is not None:
                self._server.stop()
                self._address = None


class _LocalWorker:
    """A worker process for this machine, started again whenever it ends, until closed.

    Attributes:
        log: file of what it says.
        last_status: with which it ended last; None where it never did.
    """

    def __init__(self, home: Path, address: str, secret: str | None) -> None:
        self.log = home / "worker.log"
        self.last_status: int | None = None
        self._command = python_module("workers", "--connect", address, "--device", LOCAL_DEVICE, "--once")
        shown = {} if secret is None else {"NAS_TOKEN": secret}
        self._environment = {**os.environ, **shown, "PYTHONPATH": module_path(), "OMP_NUM_THREADS": "1"}
        self._closing, self._lock = threading.Event(), threading.Lock()
        home.mkdir(parents=True, exist_ok=True)
        self._process = self._spawn()
        self._minder = threading.Thread(target=self._mind, name="local worker", daemon=True)
        self._minder.start()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the service, which then stops its worker
            )

    def _mind(self) -> None:
        pause = RESTART_SECONDS
        while True:
            began = time.monotonic()
            self.last_status = self._process.wait()
            if time.monotonic() - began > STEADY_SECONDS:
                pause = RESTART_SECONDS
            self._closing.wait(pause)
            pause = min(2 * pause, STEADY_SECONDS)
            with self._lock:
                if self._closing.is_set():
                    return
                _LOG.warning("this machine's worker ended with status %d; starting another", self.last_status)
                self._process = self._spawn()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._closing.set()
            self._process.terminate()
        self._minder.join(STOP_SECONDS)
        if self._minder.is_alive():
            self._process.kill()
            self._minder.join()
