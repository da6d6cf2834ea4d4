"""Finding queued jobs that this process can run, and running them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from nas.errors import NasError
from nas.job import Event, EventKind, Job
from nas.store import Store

if TYPE_CHECKING:
    from nas.service.running.engine import Engine, Run

__all__ = ["Dispatcher"]

DISPATCH_SECONDS = 1.0
"""How often a process with room looks for a job."""

MOST_WAITING = 1000
"""Jobs that a process looks through for one that it can run."""

DEVICE_SECONDS = 10.0
"""A job that waits longer than this for its devices is told so."""

_LOG = logging.getLogger("nas.dispatch")


class Dispatcher:
    """Runs what is queued in a store, whoever queued it, in a thread that looks for jobs.

    Args:
        parallel: jobs that are run at once; 0 for none.
        running: runs by job id, to which it adds what it starts.
    """

    def __init__(
        self, store: Store, engine: Engine, parallel: int, running: MutableMapping[str, Run]
    ) -> None:
        self._store, self._engine, self._parallel, self._running = store, engine, parallel, running
        self._closing, self._wake = threading.Event(), threading.Event()
        self._told: dict[str, str] = {}
        self._thread = threading.Thread(target=self._dispatch, name="dispatcher", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look for a job now: one was queued."""
        self._wake.set()

    def close(self) -> None:
        """Start no more jobs; those that run go on."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _dispatch(self) -> None:
        while not self._closing.is_set():
            try:
                self._take_jobs()
            except NasError as error:
                _LOG.warning("cannot look for jobs: %s", error)
            except Exception:  # noqa: BLE001 -- a dispatcher that ended would leave every job waiting, unseen
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
