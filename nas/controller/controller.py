"""Drives one job through its stages, under a lease, so that no two processes ever run it."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from nas.controller.evaluator import RayEvaluator
from nas.errors import Busy, JobInterrupted, NasError, as_nas_error
from nas.job import Event, EventKind, Job, JobStatus, StageName
from nas.stages.pipeline import STAGES
from nas.stages.plan import resolve
from nas.stages.stage import Evaluator, Fleet, StageContext
from nas.store.store import Store

__all__ = ["Controller"]

LEASE_SECONDS = 15.0
"""A job's lease; a process that takes over from one that was killed waits no longer than this."""

PROGRESS_SECONDS = 0.2
"""Progress is stored at most this often: a step of training is quicker than a transaction."""


class Controller:
    """Runs jobs of one store in this process.

    Args:
        home: folder beside the database for supernets and exported blocks.
        fleet: the devices that measure.
    """

    def __init__(self, store: Store, home: Path, fleet: Fleet, evaluator: Evaluator | None = None) -> None:
        self._store = store
        self._home = home
        self._fleet = fleet
        self._evaluator = evaluator or RayEvaluator(home)
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex}"

    def run(self, job_id: str, stopped: Callable[[], bool]) -> Job:
        """Take the job from its first stage that has not ended to its end.

        Raises:
            Busy: another process holds the job's lease.
            NasError: the stage's own; the job is stored as failed with this cause.
            JobInterrupted: `stopped` said so; the job is stored as interrupted.
        """
        job = self._store.job(job_id)
        with _Lease(self._store, job.id, self._owner) as lease:
            try:
                self._run_stages(job, lambda: stopped() or lease.lost)
            except JobInterrupted:
                self._end(job.id, JobStatus.INTERRUPTED, None)
                raise
            except Exception as error:
                mapped = error if isinstance(error, NasError) else as_nas_error(error)
                self._end(job.id, JobStatus.FAILED, str(mapped))
                if mapped is error:
                    raise
                raise mapped from error
        return self._store.job(job.id)

    def _run_stages(self, job: Job, stopped: Callable[[], bool]) -> None:
        plan = resolve(job.spec)
        names = [stage.name for stage in STAGES]
        first = names.index(job.stage) if job.stage else len(STAGES)
        end = names.index(job.spec.until) + 1

        report = _Reporter(self._store, job.id)
        context = StageContext(
            job.id, plan, self._store, self._home, self._fleet, self._evaluator, report, stopped
        )
        for stage in STAGES[first:end]:
            context.check_stop()
            self._store.set_job(job.id, JobStatus.RUNNING, stage.name)
            report(Event(EventKind.STAGE, stage.name, "started"))
            stage.run(context)
            report(Event(EventKind.STAGE, stage.name, "ended"))
        # The event first: who sees the status looks for no further event.
        report(Event(EventKind.STATUS, None, str(JobStatus.SUCCEEDED)))
        self._store.set_job(job.id, JobStatus.SUCCEEDED, None)

    def _end(self, job_id: str, status: JobStatus, error: str | None) -> None:
        stage: StageName | None = self._store.job(job_id).stage
        self._store.append_event(job_id, Event(EventKind.STATUS, stage, str(status), data={"error": error}))
        self._store.set_job(job_id, status, stage, error)


class _Reporter:
    """Stores events; of progress only what a person could read."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store, self._job_id = store, job_id
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        if event.kind is EventKind.PROGRESS:
            now = time.monotonic()
            if now - self._last < PROGRESS_SECONDS and event.done < event.total:
                return
            self._last = now
        self._store.append_event(self._job_id, event)


class _Lease:
    """Holds a job for its owner, renewing in the background; `lost` once another took it."""

    def __init__(self, store: Store, job_id: str, owner: str) -> None:
        self._store, self._job_id, self._owner = store, job_id, owner
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease of {job_id}", daemon=True)
        self.lost = False

    def __enter__(self) -> Self:
        self._claim()
        self._thread.start()
        return self

    def _claim(self) -> None:
        """A process that was killed a moment ago still holds the job: end its lease where it is seen to
        be gone (on this host), wait it out elsewhere."""
        deadline = time.monotonic() + LEASE_SECONDS + 1
        while not self._store.claim(self._job_id, self._owner, LEASE_SECONDS):
            holder = self._store.lease_owner(self._job_id)
            if holder is not None and _is_gone(holder):
                self._store.release(self._job_id, holder)
                continue
            if time.monotonic() > deadline:
                raise Busy(f"job {self._job_id} is being run by another process ({holder})")
            time.sleep(0.2)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._store.release(self._job_id, self._owner)

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_SECONDS / 3):
            self.lost = not self._store.claim(self._job_id, self._owner, LEASE_SECONDS)
            if self.lost:
                return


def _is_gone(owner: str) -> bool:
    """Whether the lease's owner was a process of this host that runs no more."""
    host, _, rest = owner.partition("/")
    pid = rest.partition("/")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
