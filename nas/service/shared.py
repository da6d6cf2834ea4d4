"""A service that shares its store with others: any of them may run any job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import JobFailed, NasError
from nas.job import Event, EventKind, Job, JobSpec, JobStatus
from nas.service.api import EventBatch
from nas.service.auth import Identity
from nas.service.door import WorkerDoor
from nas.service.local import ENDED, LocalService

__all__ = ["SharedService"]

DISPATCH_SECONDS = 1.0
"""How often a process with room looks for a job."""

_LOG = logging.getLogger("nas.dispatch")


class SharedService(LocalService):
    """Queues what is asked of it, and runs what is queued in its store, whoever queued it.

    A job runs under a lease; that of a process that died is taken over once its lease has expired.

    Args:
        home: folder of the supernets and exported blocks, and of the database where `store` is None.
        door: how workers come in.
        store: URL of a database that several services share; None for one in `home`.
        parallel: jobs that this process runs at once; 0 for none.
        ray_address: of a Ray cluster that evaluates; None for a local Ray.
    """

    def __init__(
        self,
        home: Path,
        door: WorkerDoor | None = None,
        store: str | None = None,
        parallel: int = 1,
        ray_address: str | None = None,
    ) -> None:
        super().__init__(home, door, store, ray_address)
        self._parallel = parallel
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._dispatcher = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)

    def start(self) -> str:
        """Let workers connect and begin to run what is queued; returns the address for workers.

        Raises:
            ServiceUnavailable: it cannot be listened on.
        """
        address = self._engine.listen()
        if self._parallel:
            self._engine.warm_up()
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

    def resume(self, job_id: str) -> Job:
        """See `Service.resume`; whichever process has room goes on with it."""
        job = self.job(job_id)
        if job.status in (JobStatus.FAILED, JobStatus.INTERRUPTED):
            self._store.set_job(job.id, JobStatus.QUEUED, job.stage)
            self._store.append_event(job.id, Event(EventKind.STATUS, job.stage, str(JobStatus.QUEUED)))
            self._wake.set()
        return self._store.job(job.id)

    def events(self, job_id: str, after: int = 0) -> EventBatch:
        """See `Service.events`; a queued job is not over, somebody will run it."""
        job = self.job(job_id)
        events = self._store.events(job.id, after)
        if job.status is JobStatus.FAILED and not events:
            raise JobFailed(job.error or f"job {job.id} failed without saying why")
        return EventBatch(tuple(events), job.status in ENDED)

    def close(self) -> None:
        """See `Service.close`; jobs that ran here are left to other processes."""
        self._closing.set()
        self._wake.set()
        if self._dispatcher.is_alive():
            self._dispatcher.join()
        for job_id, run in self._running.items():
            if run.alive:
                run.stop()
                job = self._store.job(job_id)
                if job.status is JobStatus.INTERRUPTED:
                    self._store.set_job(job_id, JobStatus.QUEUED, job.stage)
        super().close()

    def _dispatch(self) -> None:
        while not self._closing.is_set():
            try:
                self._take_jobs()
            except NasError as error:
                _LOG.warning("cannot look for jobs: %s", error)
            self._wake.wait(DISPATCH_SECONDS)
            self._wake.clear()

    def _take_jobs(self) -> None:
        self._running = {job_id: run for job_id, run in self._running.items() if run.alive}
        room = self._parallel - len(self._running)
        for job in self._store.runnable(room) if room > 0 else ():
            if job.id not in self._running:
                _LOG.info("running", extra={"job": job.id})
                self._running[job.id] = self._engine.start(job.id)
