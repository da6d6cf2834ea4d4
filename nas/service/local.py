"""The service in this process, on a store of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import DeadlineExceeded, InvalidSpec
from nas.front import Front, Point
from nas.job import Event, EventKind, Job, JobSpec, JobStatus, load_job_spec
from nas.service.api import WATCH_SECONDS, EventBatch, Service
from nas.service.auth import Identity, Role
from nas.service.door import WorkerDoor
from nas.stages.plan import resolve
from nas.store import open_store
from nas.tasks import task_descriptions
from searchspaces.architecture import Architecture
from searchspaces.errors import SpaceError
from searchspaces.presets import presets
from searchspaces.space import load_space, space_names
from workers.measurement import Measurement
from workers.target import Target

if TYPE_CHECKING:
    from nas.service.engine import Engine, Run

__all__ = ["ENDED", "STOP_STATE", "LocalService"]

STOP_STATE = "stop"
"""Job state by which one process asks the one that runs the job to stop it."""

STOP_SECONDS = 60.0
"""How long a job in another process may take to stop: it does so between two units of its work."""

ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.INTERRUPTED}


class LocalService(Service):
    """Answers from `home` and runs jobs in threads of this process.

    Args:
        home: folder of the database, the supernets and the exported blocks.
        door: how workers come in; where None, at `$NAS_BIND` (else an unused loopback port), showing
            `$NAS_TOKEN` where there is one.
        store: URL of a database elsewhere; None for one in `home`.
        ray_address: of a Ray cluster that evaluates; None for a local Ray.
    """

    def __init__(
        self,
        home: Path,
        door: WorkerDoor | None = None,
        store: str | None = None,
        ray_address: str | None = None,
    ) -> None:
        self.home = home.resolve()
        self._store = open_store(store or self.home)
        self._door = door or WorkerDoor(
            os.environ.get("NAS_BIND", "127.0.0.1:0"), secret=os.environ.get("NAS_TOKEN")
        )
        self._ray_address = ray_address
        self._running: dict[str, Run] = {}

    @cached_property
    def _engine(self) -> Engine:
        """Made by the first job: listing jobs or fronts should not wait for torch and ray."""
        # gRPC reports every fork of a process that uses it, and Ray forks: nothing a user could act on.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        from nas.service.engine import Engine

        return Engine(self._store, self.home, self._door, self._ray_address)

    # Jobs
    def submit(
        self,
        spec: JobSpec | str | Path | Mapping[str, Any],
        *,
        key: str | None = None,
        by: Identity | None = None,
    ) -> Job:
        """See `Service.submit`."""
        relative_to = Path.cwd()
        if not isinstance(spec, JobSpec):
            relative_to = Path(spec).resolve().parent if isinstance(spec, str | Path) else relative_to
            spec = load_job_spec(spec)
        spec = resolve(spec, relative_to).spec
        if by is None:
            return self._store.create_job(spec, key=key)
        most = by.limits.jobs if by.role is Role.USER else None
        return self._store.create_job(spec, key=key, owner=by.name, most=most)

    def resume(self, job_id: str) -> Job:
        """See `Service.resume`."""
        job = self.job(job_id)
        if job.status in (JobStatus.SUCCEEDED, JobStatus.CANCELLED):
            return job
        run = self._running.get(job.id)
        if run is None or not run.alive:
            self._running[job.id] = self._engine.start(job.id)
        return job

    def interrupt(self, job_id: str) -> Job:
        """See `Service.interrupt`."""
        job = self.job(job_id)
        run = self._running.get(job.id)
        if run is not None:
            run.stop()
        elif job.status is JobStatus.RUNNING:
            self._stop_elsewhere(job.id)
        return self._store.job(job.id)

    def _stop_elsewhere(self, job_id: str) -> None:
        """Ask the process that holds the job's lease, if there is one, and wait until it has let go."""
        self._store.put_state(job_id, STOP_STATE, {"asked": True})
        deadline = time.monotonic() + STOP_SECONDS
        while self._store.lease_owner(job_id) is not None:
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"job {job_id} was asked to stop, and has not within {STOP_SECONDS:g} s"
                )
            time.sleep(WATCH_SECONDS)
        job = self._store.job(job_id)
        if job.status is JobStatus.RUNNING:  # its process died before it could say so
            self._store.set_job(job_id, JobStatus.INTERRUPTED, job.stage)

    def cancel(self, job_id: str) -> Job:
        """See `Service.cancel`."""
        job = self.interrupt(job_id)
        if job.status is not JobStatus.SUCCEEDED:
            self._store.append_event(job.id, Event(EventKind.STATUS, job.stage, str(JobStatus.CANCELLED)))
            self._store.set_job(job.id, JobStatus.CANCELLED, job.stage)
        return self._store.job(job.id)

    def events(self, job_id: str, after: int = 0) -> EventBatch:
        """See `Service.events`."""
        job_id = self.job(job_id).id
        run = self._running.get(job_id)
        # Whether it is over is asked first: an event between the two questions is then not missed.
        over = not run.alive if run else self._store.job(job_id).status in {*ENDED, JobStatus.QUEUED}
        events = self._store.events(job_id, after)
        if over and not events and run is not None and run.error is not None:
            raise run.error
        return EventBatch(tuple(events), over)

    def job(self, job_id: str) -> Job:
        """See `Service.job`."""
        if job_id == "latest":
            newest = self._store.jobs(1)
            return newest[0] if newest else self._store.job(job_id)
        return self._store.job(job_id)

    def jobs(self, limit: int | None = None, before: str | None = None) -> list[Job]:
        """See `Service.jobs`."""
        return self._store.jobs(limit, before)

    # Fronts
    def front(self, job_id: str) -> Front:
        """See `Service.front`."""
        job = self.job(job_id)
        plan = resolve(job.spec)
        return Front(
            job=job.id,
            space=plan.space.name,
            task=plan.spec.task.name,
            metric=plan.task.metric,
            direction=plan.task.direction,
            targets=plan.targets,
            objectives=plan.objectives,
            points=tuple(self._store.points(job.id)),
        )

    def best(self, job_id: str, bounds: Mapping[str, float] | None = None) -> Point:
        """See `Service.best`."""
        front = self.front(job_id)
        if bounds is None:
            bounds = {o.name: o.bound for o in front.objectives if o.bound is not None}
        return front.best(bounds)

    def extract(self, job_id: str, digest: str, out: str | Path) -> dict[str, Any]:
        """See `Service.extract`."""
        from nas.service.extract import extract_point

        return extract_point(self._store, self.home, self.job(job_id), digest, Path(out))

    # What there is
    def spaces(self) -> list[dict[str, Any]]:
        """See `Service.spaces`."""
        described = []
        for name in space_names():
            space = load_space(name)
            described.append(
                {**space.spec.model_dump(mode="json"), "size": space.size(), "digest": space.digest}
            )
        return described

    def tasks(self) -> list[dict[str, Any]]:
        """See `Service.tasks`."""
        return task_descriptions()

    def presets(self, space: str | Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `Service.presets`."""
        try:
            within = load_space(space)
        except SpaceError as error:
            raise InvalidSpec(error.problems) from error
        return [
            {
                "name": preset.name,
                "source": preset.source,
                "digest": preset.architecture.digest,
                "architecture": preset.architecture.to_dict(),
            }
            for preset in presets(within).values()
        ]

    def targets(self) -> list[Target]:
        """See `Service.targets`."""
        return self._store.targets()

    def measurements(self, target: Target) -> list[tuple[Architecture, Measurement]]:
        """See `Service.measurements`."""
        found = self._store.measurements(target)
        architectures = self._store.architectures(m.digest for m in found)
        return [(architectures[m.digest], m) for m in found]

    def devices(self) -> list[dict[str, Any]]:
        """See `Service.devices`."""
        return self._engine.devices() if "_engine" in self.__dict__ else []

    def close(self) -> None:
        """See `Service.close`."""
        for run in self._running.values():
            run.stop()
        if "_engine" in self.__dict__:
            self._engine.close()
        self._store.close()
