"""What a service needs to run jobs, started when the first one does: it loads torch, ray and grpc."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nas.controller.backend import RayComputeBackend
from nas.controller.controller import Controller
from nas.controller.restarts import ON_REQUEST, RestartPolicy
from nas.controller.stopping import was_asked_to_stop
from nas.errors import JobInterrupted, NasError
from nas.point import Point
from nas.service.running.measurement import WorkerMeasurementBackend
from nas.service.running.worker_endpoint import WorkerEndpoint
from nas.store.store import Store
from searchspaces.architecture import Architecture
from workers.target import Target

__all__ = ["Engine", "Run"]

LOOK_SECONDS = 1.0
"""How often a run looks whether it was asked to stop from elsewhere."""


class Engine:
    """The controller of one store, with its devices and its processors.

    Args:
        home: folder beside the database.
        endpoint: where workers connect.
        ray_address: of a Ray cluster that trains and evaluates; None for a local Ray.
        restarts: what becomes of a job whose run ends before the job does.
    """

    def __init__(
        self,
        store: Store,
        home: Path,
        endpoint: WorkerEndpoint,
        ray_address: str | None = None,
        restarts: RestartPolicy = ON_REQUEST,
    ) -> None:
        self._store = store
        self._measurement_backend = WorkerMeasurementBackend(home, endpoint)
        self._compute_backend = RayComputeBackend(home, ray_address)
        self._controller = Controller(store, home, self._measurement_backend, self._compute_backend, restarts)

    def start(self, job_id: str) -> Run:
        """Run a job in a thread of its own."""
        return Run(self._controller, self._store, job_id)

    def verify(self, job_id: str, architecture: Architecture) -> Point:
        """See `Controller.verify`."""
        return self._controller.verify(job_id, architecture)

    def listen(self) -> str:
        """Let workers connect before any job needs them; returns their address, ``HOST:PORT``."""
        return self._measurement_backend.start()

    def warm_up(self) -> None:
        """Start Ray before any job needs it."""
        self._compute_backend.start()

    def unserved(self, targets: Iterable[Target]) -> list[Target]:
        """Those that no device connected to this process serves."""
        return [target for target in targets if not self._measurement_backend.serves(target)]

    def devices(self) -> list[dict[str, Any]]:
        """Devices that are connected now, as plain data."""
        return self._measurement_backend.devices()

    def close(self) -> None:
        """Stop every process that was started."""
        self._compute_backend.close()
        self._measurement_backend.close()


class Run:
    """One job in a thread.

    Attributes:
        error: why it ended, where it failed; to be told by whoever started it.
    """

    def __init__(self, controller: Controller, store: Store, job_id: str) -> None:
        self._controller, self._store, self._job_id = controller, store, job_id
        self._stopped = threading.Event()
        self._looked_at = time.monotonic()
        self.error: NasError | None = None
        self._thread = threading.Thread(target=self._run, name=f"job {job_id}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the job is still running."""
        return self._thread.is_alive()

    def ask_to_stop(self) -> None:
        """It does so between two units of its work, and can be resumed."""
        self._stopped.set()

    def stop(self) -> None:
        """Ask it to stop and wait until it has."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._controller.run(self._job_id, self._asked_to_stop)
        except JobInterrupted:
            pass  # whoever watches sees the status that is stored
        except NasError as error:
            self.error = error

    def _asked_to_stop(self) -> bool:
        """Here, or by another process through the store."""
        now = time.monotonic()
        if not self._stopped.is_set() and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            if was_asked_to_stop(self._store, self._job_id):
                self._stopped.set()
        return self._stopped.is_set()
