"""A service that shares its store with others: any of them may run any job."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from nas.controller.restarts import AUTOMATIC, RestartPolicy
from nas.controller.stopping import forget_stop
from nas.errors import NasError
from nas.job import Event, EventKind, Job, JobStatus
from nas.service.api import EventBatch
from nas.service.identity import Identity
from nas.service.running.embedded import ENDED, EmbeddedService
from nas.service.running.worker_endpoint import WorkerEndpoint
from nas.spec import JobSpec
from workers.target import Target

__all__ = ["SharedService"]

DISPATCH_SECONDS = 1.0
"""How often a process with room looks for a job."""

MOST_WAITING = 1000
"""Jobs that a process looks through for one that it can run."""

RESUMABLE = (JobStatus.FAILED, JobStatus.INTERRUPTED)

DEVICE_SECONDS = 10.0
"""A job that waits longer than this for its devices is told so."""

_LOG = logging.getLogger("nas.dispatch")


class SharedService(EmbeddedService):
    """Queues what is asked of it, and runs what is queued in its store, whoever queued it.

    A job runs under a lease; that of a process that died is taken over once its lease has expired, and one
    that kills process after process without getting any further is failed. A process takes only jobs whose
    devices are connected to it: the others wait for the process that has them, or for the devices.

    Args:
        home: folder of the supernets and exported blocks, and of the database where `store` is None.
        endpoint: where workers connect.
        store: URL of a database that several services share; None for one in `home`.
        parallel: jobs that this process runs at once; 0 for none.
        ray_address: of a Ray cluster that trains and evaluates; None for a local Ray.
    """

    _restarts: ClassVar[RestartPolicy] = AUTOMATIC

    def __init__(
        self,
        home: Path,
        endpoint: WorkerEndpoint | None = None,
        store: str | None = None,
        parallel: int = 1,
        ray_address: str | None = None,
    ) -> None:
        super().__init__(home, endpoint, store, ray_address)
        self._parallel = parallel
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._told: dict[str, str] = {}
        self._dispatcher = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)

    def start(self) -> str:
        """Let workers connect and begin to run what is queued; returns the address for workers.

        Raises:
            ServiceUnavailable: it cannot be listened on.
        """
        if self._parallel:
            self._engine.warm_up()  # first: Ray forks, which a process that serves gRPC had better not
        address = self._engine.listen()
        self._dispatcher.start()
        return address

    def submit(
        self,
        spec: JobSpec | str | Path | Mapping[str, Any],
        *,
        key: str | None = None,
        by: Identity | None = None,
    ) -> Job:
        """See `Service.submit`; the job is run without having to be resumed."""
        job = super().submit(spec, key=key, by=by)
        self._wake.set()
        return job

    def add_target(self, job_id: str, target: Target) -> Job:
        """See `Service.add_target`; the job is run without having to be resumed."""
        job = super().add_target(job_id, target)
        self._wake.set()
        return job

    def resume(self, job_id: str) -> Job:
        """See `Service.resume`; whichever process has room goes on with it."""
        job = self.job(job_id)
        if job.status in RESUMABLE:
            with self._alone_with(job.id):
                job = self._store.job(job.id)
                if job.status in RESUMABLE:
                    forget_stop(self._store, job.id)
                    self._store.append_event(
                        job.id, Event(EventKind.STATUS, job.stage, str(JobStatus.QUEUED))
                    )
                    self._store.set_job(job.id, JobStatus.QUEUED, job.stage)
            self._wake.set()
        return self._store.job(job.id)

    def count_jobs(self) -> dict[JobStatus, int]:
        """See `Store.count_jobs`: of all services that share the store."""
        return self._store.count_jobs()

    def events(self, job_id: str, after: int = 0) -> EventBatch:
        """See `Service.events`; a queued job is not over, somebody will run it."""
        job = self.job(job_id)
        events = self._store.events(job.id, after)
        if job.status is JobStatus.FAILED and not events:
            raise job.failure()
        return EventBatch(tuple(events), job.status in ENDED)

    def close(self) -> None:
        """See `Service.close`; jobs that ran here are left to other processes."""
        self._closing.set()
        self._wake.set()
        if self._dispatcher.is_alive():
            self._dispatcher.join()
        super().close()

    def _dispatch(self) -> None:
        while not self._closing.is_set():
            try:
                self._take_jobs()
            except NasError as error:
                _LOG.warning("cannot look for jobs: %s", error)
            except Exception:  # noqa: BLE001 -- whatever one look meets, jobs must not wait behind it for ever
                _LOG.exception("cannot look for jobs")
            self._wake.wait(DISPATCH_SECONDS)
            self._wake.clear()

    def _take_jobs(self) -> None:
        for job_id, run in list(self._running.items()):
            if not run.alive:
                del self._running[job_id]
                if run.error is not None:
                    _LOG.warning("%s: %s", type(run.error).__name__, run.error, extra={"job": job_id})
        if len(self._running) >= self._parallel:
            return
        waiting = [job for job in self._store.runnable(MOST_WAITING) if job.id not in self._running]
        for job in waiting:
            if len(self._running) < self._parallel and self._has_devices(job):
                _LOG.info("running", extra={"job": job.id})
                self._running[job.id] = self._engine.start(job.id)
        ids = {job.id for job in waiting}
        self._told = {job_id: message for job_id, message in self._told.items() if job_id in ids}

    def _has_devices(self, job: Job) -> bool:
        """Whether the job can be run here; one that waits is told for what, once."""
        missing = self._engine.unserved(target.target() for target in job.spec.targets)
        if missing and time.time() - job.updated_at > DEVICE_SECONDS:
            message = (
                f"waits for a worker that serves {', '.join(map(str, missing))}; connect one with: "
                f"nas worker --connect HOST:PORT --device {missing[0].device}"
            )
            if self._told.get(job.id) != message:
                self._told[job.id] = message
                self._store.append_event(job.id, Event(EventKind.NOTE, job.stage, message))
        return not missing
