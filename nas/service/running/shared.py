"""A service that shares its store with others: any of them may run any job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from nas.controller.restarts import AUTOMATIC, RestartPolicy
from nas.controller.stopping import forget_stop
from nas.job import Event, EventKind, Job, JobStatus
from nas.planning.limits import Limits
from nas.service.api import EventBatch
from nas.service.identity import Identity
from nas.service.running.dispatcher import Dispatcher
from nas.service.running.embedded import ENDED, EmbeddedService
from nas.service.running.worker_endpoint import WorkerEndpoint
from nas.spec import JobSpec
from nas.store.store import RESUMABLE
from workers.target import Target

__all__ = ["SharedService"]


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
        limits: of one job, see `EmbeddedService`.
    """

    _restarts: ClassVar[RestartPolicy] = AUTOMATIC

    def __init__(
        self,
        home: Path,
        endpoint: WorkerEndpoint | None = None,
        store: str | None = None,
        parallel: int = 1,
        ray_address: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(home, endpoint, store, ray_address, limits)
        self._parallel = parallel
        self._dispatcher: Dispatcher | None = None

    def start(self) -> str:
        """Let workers connect and begin to run what is queued; returns the address for workers.

        Raises:
            ServiceUnavailable: it cannot be listened on.
        """
        if self._parallel:
            self._engine.warm_up()  # first: Ray forks, which a process that serves gRPC had better not
        address = self._engine.listen()
        self._dispatcher = Dispatcher(self._store, self._engine, self._parallel, self._running)
        return address

    def submit(
        self,
        spec: JobSpec | str | Path | Mapping[str, Any],
        *,
        key: str | None = None,
        by: Identity | None = None,
        shared: bool = False,
        fast: bool = False,
    ) -> Job:
        """See `Service.submit`; the job is run without having to be resumed."""
        job = super().submit(spec, key=key, by=by, shared=shared, fast=fast)
        self._look_now()
        return job

    def add_target(self, job_id: str, target: Target, *, by: Identity | None = None) -> Job:
        """See `Service.add_target`; the job is run without having to be resumed."""
        job = super().add_target(job_id, target, by=by)
        self._look_now()
        return job

    def resume(self, job_id: str, *, by: Identity | None = None) -> Job:
        """See `Service.resume`; whichever process has room goes on with it."""
        job = self.job(job_id)
        if job.status in RESUMABLE:
            with self._alone_with(job.id):
                # Nobody runs it before the lease is given back: an earlier stop is forgotten by then.
                if self._store.requeue(job.id, most=None if by is None else by.most_jobs):
                    forget_stop(self._store, job.id)
                    job = self._store.job(job.id)
                    queued = Event(EventKind.STATUS, job.stage, str(JobStatus.QUEUED))
                    self._store.append_event(job.id, queued)
            self._look_now()
        return self._store.job(job.id)

    def _look_now(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.wake()

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
        if self._dispatcher is not None:
            self._dispatcher.close()
        super().close()
