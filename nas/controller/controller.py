"""Drives one job through its stages, under a lease, so that no two processes ever run it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nas.controller.lease import JobLease
from nas.controller.restarts import ON_REQUEST, RestartPolicy
from nas.controller.stopping import was_asked_to_stop
from nas.errors import Busy, JobFailed, JobInterrupted, NasError, StoreUnavailable, as_nas_error
from nas.job import Event, EventKind, Job, JobStatus
from nas.planning.plan import resolve
from nas.point import Point
from nas.spec import StageName
from nas.stages.backends import ComputeBackend, MeasurementBackend
from nas.stages.pipeline import STAGES
from nas.stages.stage import StageContext
from nas.stages.verify import verify_architecture
from nas.store.store import Store
from searchspaces.architecture import Architecture
from workers.memory import trim_heap

__all__ = ["Controller"]

PROGRESS_SECONDS = 0.2
"""Progress is stored at most this often: a step of training is quicker than a transaction."""


class Controller:
    """Runs jobs of one store in this process.

    Args:
        home: folder beside the database for supernets and exported blocks.
        measurement_backend: the devices that measure.
        compute_backend: the processors that train and score.
        restarts: what becomes of a job whose run ends before the job does.
    """

    def __init__(
        self,
        store: Store,
        home: Path,
        measurement_backend: MeasurementBackend,
        compute_backend: ComputeBackend,
        restarts: RestartPolicy = ON_REQUEST,
    ) -> None:
        self._store = store
        self._home = home
        self._measurement_backend = measurement_backend
        self._compute_backend = compute_backend
        self._restarts = restarts

    def run(self, job_id: str, stopped: Callable[[], bool]) -> Job:
        """Take the job from its first stage that has not ended to its end.

        Raises:
            Busy: another process holds the job's lease, or took it since.
            NasError: the stage's own; the job is stored as failed with this cause.
            JobInterrupted: `stopped` said so; the job is stored as interrupted, or as queued where nobody
                wanted it to stop but this process, which leaves it to others.
        """
        with JobLease(self._store, self._store.job(job_id).id) as lease:
            job = self._store.job(job_id)  # only now does nobody else change where it stands
            if not self._restarts.starts(job.status):
                return job
            try:
                self._refuse_a_killer(job)
                self._run_stages(job, lambda: stopped() or lease.lost)
            except Exception as error:
                if lease.lost:
                    raise Busy(f"the lease of job {job.id} was lost: another process may run it") from error
                if isinstance(error, JobInterrupted):
                    asked = was_asked_to_stop(self._store, job.id)
                    self._end(job.id, self._restarts.status_of_stopped(asked))
                    raise
                mapped = error if isinstance(error, NasError) else as_nas_error(error)
                if self._restarts.retries(mapped):
                    self._leave(job.id, mapped)
                else:
                    self._end(job.id, JobStatus.FAILED, mapped)
                if mapped is error:
                    raise
                raise mapped from error
        return self._store.job(job.id)

    def _refuse_a_killer(self, job: Job) -> None:
        """A job that is found running was left so by a process that died."""
        if job.status is not JobStatus.RUNNING:
            return
        deaths = self._store.count_death(job.id)
        if self._restarts.gives_up_after(deaths):
            raise JobFailed(
                f"its process died {deaths} times in stage {job.stage} without getting any further (its "
                f"notes, the service's log and its host's tell more); go on with: nas resume {job.id}"
            )

    def _leave(self, job_id: str, error: NasError) -> None:
        """As a process that died leaves a job: running, for whoever takes it up."""
        with suppress(StoreUnavailable):
            self._store.append_event(
                job_id, Event(EventKind.NOTE, None, f"{error}; the job is taken up again")
            )

    def verify(self, job_id: str, architecture: Architecture) -> Point:
        """Measure and evaluate one architecture for a job; see `nas.stages.verify.verify_architecture`.

        Raises:
            Busy: the job is being run; its lease is waited for a little.
        """
        with JobLease(self._store, job_id) as lease:
            context = self._context(self._store.job(job_id), lambda: lease.lost)
            return verify_architecture(context, architecture)

    def _context(self, job: Job, stopped: Callable[[], bool]) -> StageContext:
        report = _Reporter(self._store, job.id)
        plan = resolve(job.spec)
        return StageContext(
            job.id,
            plan,
            self._store,
            self._home,
            self._measurement_backend,
            self._compute_backend,
            report,
            stopped,
        )

    def _amended(self, context: StageContext) -> StageContext:
        """With the plan of the job's spec as a stage may have made it more exact."""
        spec = self._store.job(context.job_id).spec
        return context if spec == context.plan.spec else replace(context, plan=resolve(spec))

    def _run_stages(self, job: Job, stopped: Callable[[], bool]) -> None:
        context = self._context(job, stopped)
        report = context.report
        stages = [stage for stage in STAGES if stage.name in job.spec.stages]
        first = [stage.name for stage in stages].index(job.stage) if job.stage else len(stages)

        for stage in stages[first:]:
            context.check_stop()
            self._store.set_job(job.id, JobStatus.RUNNING, stage.name)
            report(Event(EventKind.STAGE, stage.name, "started"))
            stage.run(context)
            trim_heap()  # composing models of half a gigabyte leaves more than one
            context = self._amended(context)
            report(Event(EventKind.STAGE, stage.name, "ended"))
        # The event first: who sees the status looks for no further event.
        report(Event(EventKind.STATUS, None, str(JobStatus.SUCCEEDED)))
        self._store.set_job(job.id, JobStatus.SUCCEEDED, None)

    def _end(self, job_id: str, status: JobStatus, error: NasError | None = None) -> None:
        stage: StageName | None = self._store.job(job_id).stage
        cause = {"error": None if error is None else str(error)}
        self._store.append_event(job_id, Event(EventKind.STATUS, stage, str(status), data=cause))
        self._store.set_job(job_id, status, stage, error)


class _Reporter:
    """Stores events; of progress only what a person could read. Of each stage the first that it tells is
    from where this process goes on."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store, self._job_id = store, job_id
        self._last = 0.0
        self._begun: set[StageName | None] = set()

    def __call__(self, event: Event) -> None:
        if event.kind is EventKind.PROGRESS:
            if event.stage not in self._begun:
                self._begun.add(event.stage)
                self._store.note_place(self._job_id, f"{event.stage} {event.done:g}/{event.total:g}")
            now = time.monotonic()
            if now - self._last < PROGRESS_SECONDS and event.done < event.total:
                return
            self._last = now
        self._store.append_event(self._job_id, event)
