"""A service as one caller sees it: their own jobs, and those that are open to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.analysis.sessions import SessionError
from nas.cloud import Cloud
from nas.comparison import Comparison
from nas.errors import Forbidden
from nas.front import Front, Scope
from nas.job import Job, TargetProfile, Viewer
from nas.optimum import Optimum
from nas.planning.limits import Limits
from nas.point import Point
from nas.service.api import EventBatch, Service
from nas.service.identity import Identity, Role
from nas.spec import JobSpec
from nas.store import Forgotten
from searchspaces.architecture import Architecture
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["OwnedService"]


class OwnedService(Service):
    """The one place that decides who may do what with whose job. Jobs that a caller may not look at do not
    exist for them; those that are shared they look at and do not change. What is known of spaces, targets and
    devices belongs to nobody. An administrator sees and changes everything.

    Args:
        service: of everybody.
        caller: who asks.
    """

    def __init__(self, service: Service, caller: Identity) -> None:
        self._service, self._caller = service, caller
        self._viewer = None if caller.role is Role.ADMIN else Viewer(caller.name, caller.group)

    def _seen(self, job_id: str) -> str:
        """The id in full of a job that the caller may look at."""
        return self._service.job(job_id, self._viewer).id

    def _owned(self, job_id: str) -> str:
        """The id in full of a job that the caller may change."""
        job = self._service.job(job_id, self._viewer)
        if self._viewer is not None and not job.belongs_to(self._viewer):
            raise Forbidden(
                f"job {job.id} is shared to be looked at; accepted: whoever submitted it, or an administrator"
            )
        return job.id

    # Jobs
    def submit(
        self,
        spec: JobSpec | str | Path | Mapping[str, Any],
        *,
        key: str | None = None,
        by: Identity | None = None,
        shared: bool = False,
        fast: bool = False,
    ) -> Job:
        """See `Service.submit`; the job is the caller's."""
        return self._service.submit(spec, key=key, by=by or self._caller, shared=shared, fast=fast)

    def resume(self, job_id: str, *, by: Identity | None = None) -> Job:
        """See `Service.resume`."""
        return self._service.resume(self._owned(job_id), by=by or self._caller)

    def add_target(self, job_id: str, target: Target, *, by: Identity | None = None) -> Job:
        """See `Service.add_target`."""
        return self._service.add_target(self._owned(job_id), target, by=by or self._caller)

    def cancel(self, job_id: str) -> Job:
        """See `Service.cancel`."""
        return self._service.cancel(self._owned(job_id))

    def interrupt(self, job_id: str) -> Job:
        """See `Service.interrupt`."""
        return self._service.interrupt(self._owned(job_id))

    def events(self, job_id: str, after: int = 0) -> EventBatch:
        """See `Service.events`."""
        return self._service.events(self._seen(job_id), after)

    def job(self, job_id: str, viewer: Viewer | None = None) -> Job:
        """See `Service.job`; the viewer is the caller."""
        return self._service.job(job_id, self._viewer)

    def jobs(
        self, limit: int | None = None, before: str | None = None, viewer: Viewer | None = None
    ) -> list[Job]:
        """See `Service.jobs`; the viewer is the caller."""
        return self._service.jobs(limit, before, self._viewer)

    # What jobs found
    def profile(self, job_id: str) -> list[TargetProfile]:
        """See `Service.profile`."""
        return self._service.profile(self._seen(job_id))

    def front(
        self, job_id: str, scope: Scope = Scope.SHOWN, *, after: str | None = None, limit: int | None = None
    ) -> Front:
        """See `Service.front`."""
        return self._service.front(self._seen(job_id), scope, after=after, limit=limit)

    def cloud(self, job_id: str) -> Cloud:
        """See `Service.cloud`."""
        return self._service.cloud(self._seen(job_id))

    def point(self, job_id: str, digest: str) -> Point:
        """See `Service.point`."""
        return self._service.point(self._seen(job_id), digest)

    def best(self, job_id: str, bounds: Mapping[str, float] | None = None) -> Point:
        """See `Service.best`."""
        return self._service.best(self._seen(job_id), bounds)

    def optimum(
        self, job_id: str, bounds: Mapping[str, float] | None = None, *, verify: bool = False
    ) -> Optimum:
        """See `Service.optimum`; to verify one changes the job."""
        allowed = self._owned(job_id) if verify else self._seen(job_id)
        return self._service.optimum(allowed, bounds, verify=verify)

    def explain(self, job_id: str) -> dict[str, Any]:
        """See `Service.explain`."""
        return self._service.explain(self._seen(job_id))

    def comparisons(self, job_id: str) -> list[Comparison]:
        """See `Service.comparisons`."""
        return self._service.comparisons(self._seen(job_id))

    def extract(self, job_id: str, digest: str, out: str | Path) -> dict[str, Any]:
        """See `Service.extract`."""
        return self._service.extract(self._seen(job_id), digest, out)

    # What there is
    def spaces(self) -> list[dict[str, Any]]:
        """See `Service.spaces`."""
        return self._service.spaces()

    def tasks(self) -> list[dict[str, Any]]:
        """See `Service.tasks`."""
        return self._service.tasks()

    def presets(self, space: str | Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `Service.presets`."""
        return self._service.presets(space)

    def targets(self) -> list[Target]:
        """See `Service.targets`."""
        return self._service.targets()

    def measurements(self, target: Target) -> list[tuple[Architecture, Measurement]]:
        """See `Service.measurements`."""
        return self._service.measurements(target)

    def session_error(self, target: Target) -> SessionError:
        """See `Service.session_error`."""
        return self._service.session_error(target)

    def forget_measurements(
        self,
        target: Target,
        digest: str | None = None,
        since: float = 0.0,
        *,
        why: str = "",
        by: Identity | None = None,
    ) -> list[Forgotten]:
        """See `Service.forget_measurements`; for administrators."""
        if self._viewer is not None:
            raise Forbidden(
                f"measurements are everybody's; {self._caller.name} is a {self._caller.role}, accepted: admin"
            )
        return self._service.forget_measurements(target, digest, since, why=why, by=by or self._caller)

    def forgotten(self, target: Target | None = None) -> list[Forgotten]:
        """See `Service.forgotten`; for administrators, since it says who."""
        if self._viewer is not None:
            raise Forbidden(f"the journal names users; {self._caller.name} is not an administrator")
        return self._service.forgotten(target)

    def devices(self) -> list[dict[str, Any]]:
        """See `Service.devices`."""
        return self._service.devices()

    def limits(self) -> Limits:
        """See `Service.limits`."""
        return self._service.limits()

    def close(self) -> None:
        """Nothing: the service belongs to whoever opened it."""
