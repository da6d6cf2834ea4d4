"""The service in this process, on a store of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas.analysis.sessions import SessionError, session_error
from nas.cloud import Cloud
from nas.comparison import Comparison
from nas.controller.lease import JobLease
from nas.controller.restarts import ON_REQUEST, RestartPolicy
from nas.controller.stopping import ask_to_stop, forget_stop
from nas.errors import Busy, DeadlineExceeded, InvalidSpec, NoSuchPoint
from nas.evaluation import Conversion
from nas.front import Front, Scope
from nas.job import Event, EventKind, Job, JobStatus, TargetProfile, Viewer
from nas.objectives import Source
from nas.objectives.latency_ms import Latency
from nas.objectives.objective import Key
from nas.objectives.quality import QUALITY
from nas.optimum import Optimum
from nas.planning.limits import Limits
from nas.planning.objectives import compared_by, with_target
from nas.planning.plan import resolve
from nas.planning.sizes import check_sizes
from nas.planning.start import settle_start
from nas.point import Point
from nas.service.api import EventBatch, Service
from nas.service.identity import Identity
from nas.service.running.worker_endpoint import WorkerEndpoint
from nas.spec import JobSpec, StageName, load_job_spec
from nas.stages.states import ProfileState
from nas.store import Forgotten, open_store
from nas.tasks import task_descriptions
from searchspaces.architecture import Architecture
from searchspaces.descriptions import preset_descriptions, space_descriptions
from searchspaces.documents import overlong
from searchspaces.errors import Problem, SpaceError
from workers.measurement import Measurement
from workers.target import Target

if TYPE_CHECKING:
    from nas.analysis.known import KnownJob
    from nas.service.running.engine import Engine, Run

__all__ = ["ENDED", "EmbeddedService"]

STOP_SECONDS = 60.0
"""How long a job may take to stop: it does so between two units of its work."""

ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.INTERRUPTED}


class EmbeddedService(Service):
    """Answers from `home` and runs jobs in threads of this process.

    Args:
        home: folder of the database, the supernets and the exported blocks.
        endpoint: where workers connect; where None, at `$NAS_BIND` (else an unused loopback port), showing
            `$NAS_TOKEN` where there is one, as workers do, and as they must where others can reach it.
        store: URL of a database elsewhere; None for one in `home`.
        ray_address: of a Ray cluster that trains and evaluates; None for a local Ray.
        limits: of one job; where None this machine's memory, unless a cluster elsewhere has the job.
    """

    _restarts: ClassVar[RestartPolicy] = ON_REQUEST

    def __init__(
        self,
        home: Path,
        endpoint: WorkerEndpoint | None = None,
        store: str | None = None,
        ray_address: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or (Limits() if ray_address else Limits.of_this_machine())
        self.home = home.resolve()
        self._store = open_store(store or self.home)
        self._endpoint = endpoint or WorkerEndpoint(
            os.environ.get("NAS_BIND", "127.0.0.1:0"), secret=os.environ.get("NAS_TOKEN")
        )
        self._ray_address = ray_address
        self._running: dict[str, Run] = {}

    @cached_property
    def _engine(self) -> Engine:
        """Made by the first job: listing jobs or fronts should not wait for torch and ray."""
        # gRPC reports every fork of a process that uses it, and Ray forks: nothing a user could act on.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        from nas.service.running.engine import Engine

        return Engine(self._store, self.home, self._endpoint, self._ray_address, self._restarts)

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
        """See `Service.submit`."""
        from nas.analysis.attainability import check_budget, check_counted_bounds

        relative_to = Path(spec).parent.absolute() if isinstance(spec, str | Path) else Path.cwd()
        if not isinstance(spec, JobSpec):
            spec = load_job_spec(spec, lambda left: _problems_of_names(left, relative_to))
        if fast:
            spec = spec.fast()
        plan = resolve(settle_start(spec, relative_to, self.home / "models"), relative_to)
        check_sizes(plan, self._limits)
        check_budget(plan)
        check_counted_bounds(plan)
        spec = plan.spec
        if by is None:
            return self._store.create_job(spec, key=key, shared=shared)
        return self._store.create_job(
            spec, key=key, owner=by.name, most=by.most_jobs, group=by.group, shared=shared
        )

    def resume(self, job_id: str, *, by: Identity | None = None) -> Job:
        """See `Service.resume`. Whoever this process belongs to has no limit."""
        job = self.job(job_id)
        if job.status in (JobStatus.SUCCEEDED, JobStatus.CANCELLED):
            return job
        run = self._running.get(job.id)
        if run is None or not run.alive:
            forget_stop(self._store, job.id)
            self._running[job.id] = self._engine.start(job.id)
        return job

    def add_target(self, job_id: str, target: Target, *, by: Identity | None = None) -> Job:
        """See `Service.add_target`."""
        job = self.job(job_id)
        if any(item.target() == target for item in job.spec.targets):
            return job
        plan = resolve(with_target(job.spec, target))
        check_sizes(plan, self._limits)
        spec = plan.spec
        if not self._store.reopen(job.id, spec, most=None if by is None else by.most_jobs):
            status = self._store.job(job.id).status
            accepted = f"accepted: a job that has succeeded; go on with: nas resume {job.id}"
            raise InvalidSpec([Problem("job", f"{job.id} is {status}; {accepted}")])
        self._store.append_event(
            job.id,
            Event(EventKind.STATUS, StageName.PROFILE, str(JobStatus.QUEUED), data={"target": str(target)}),
        )
        return self._store.job(job.id)

    def interrupt(self, job_id: str) -> Job:
        """See `Service.interrupt`."""
        return self._stop(job_id, JobStatus.INTERRUPTED, unless=ENDED)

    def cancel(self, job_id: str) -> Job:
        """See `Service.cancel`."""
        return self._stop(job_id, JobStatus.CANCELLED, unless={JobStatus.SUCCEEDED, JobStatus.CANCELLED})

    def _stop(self, job_id: str, status: JobStatus, unless: set[JobStatus]) -> Job:
        """Ask whichever process runs the job, wait until it has let go, and write the status down."""
        job_id = self.job(job_id).id
        ask_to_stop(self._store, job_id)
        run = self._running.get(job_id)
        if run is not None:
            run.ask_to_stop()
        with self._alone_with(job_id):
            job = self._store.job(job_id)
            if job.status not in unless:
                self._store.append_event(job_id, Event(EventKind.STATUS, job.stage, str(status)))
                self._store.set_job(job_id, status, job.stage)
            forget_stop(self._store, job_id)
        if run is not None:
            run.stop()
        return self._store.job(job_id)

    @contextmanager
    def _alone_with(self, job_id: str) -> Iterator[None]:
        """Hold the job's lease: nobody else runs it, or changes where it stands."""
        with ExitStack() as held:
            try:
                held.enter_context(JobLease(self._store, job_id, STOP_SECONDS))
            except Busy as error:
                raise DeadlineExceeded(
                    f"job {job_id} was asked to stop, and has not within {STOP_SECONDS:g} s"
                ) from error
            yield

    def events(self, job_id: str, after: int = 0) -> EventBatch:
        """See `Service.events`."""
        job_id = self.job(job_id).id
        run = self._running.get(job_id)
        # Whether it is over is asked first: an event between the two questions is then not missed.
        over = not run.alive if run else self._store.job(job_id).status in {*ENDED, JobStatus.QUEUED}
        events = self._store.events(job_id, after)
        if over and not events:
            if run is not None and run.error is not None:
                raise run.error
            job = self._store.job(job_id)
            if job.status is JobStatus.FAILED:  # in whatever process it ran
                raise job.failure()
        return EventBatch(tuple(events), over)

    def job(self, job_id: str, viewer: Viewer | None = None) -> Job:
        """See `Service.job`."""
        if job_id == "latest":
            newest = self._store.jobs(1, viewer=viewer)
            return self._shown(newest[0] if newest else self._store.job(job_id, viewer))
        return self._shown(self._store.job(job_id, viewer))

    def jobs(
        self, limit: int | None = None, before: str | None = None, viewer: Viewer | None = None
    ) -> list[Job]:
        """See `Service.jobs`."""
        return [self._shown(job) for job in self._store.jobs(limit, before, viewer)]

    def _shown(self, job: Job) -> Job:
        """A job whose process is gone stands as whoever may take it up finds it."""
        return replace(job, status=self._restarts.status_of_abandoned) if job.abandoned else job

    # What jobs found
    def profile(self, job_id: str) -> list[TargetProfile]:
        """See `Service.profile`."""
        kept = ProfileState.load(self._store, self.job(job_id).id, StageName.PROFILE)
        return list(kept.profiles.values())

    def front(
        self, job_id: str, scope: Scope = Scope.SHOWN, *, after: str | None = None, limit: int | None = None
    ) -> Front:
        """See `Service.front`."""
        job = self.job(job_id)
        spec, task = job.spec, job.spec.task
        if task is None or not spec.searches:
            raise _no_search(job)
        objectives = compared_by(spec)
        quality = next(o for o in objectives if o.source is Source.EVALUATED)
        extents = self._store.extents(job.id)
        return Front(
            job=job.id,
            space=spec.space_name,
            task=task.name,
            metric=quality.unit,
            direction=quality.direction,
            targets=tuple(target.target() for target in spec.targets),
            objectives=objectives,
            points=tuple(self._store.points(job.id, scope, after=after, limit=limit)),
            evaluated=self._store.count_points(job.id),
            extent=tuple(extents.get(objective.key) for objective in objectives),
        )

    def cloud(self, job_id: str) -> Cloud:
        """See `Service.cloud`."""
        job = self.job(job_id)
        if not job.spec.searches:
            raise _no_search(job)
        targets = [item.target() for item in job.spec.targets]
        axes = [*compared_by(job.spec), *Latency.axes(targets)]
        keys = list(dict.fromkeys(axis.key for axis in axes))
        quality = next(axis for axis in axes if axis.source is Source.EVALUATED)
        scores: list[Key] = [(QUALITY, str(t)) for t in targets] if any(map(Conversion.of, targets)) else []
        return self._store.cloud(job.id, keys + scores).worst(quality.key, scores, quality.direction.sign)

    def point(self, job_id: str, digest: str) -> Point:
        """See `Service.point`."""
        return self._store.point(self.job(job_id).id, digest)

    def best(self, job_id: str, bounds: Mapping[str, float] | None = None) -> Point:
        """See `Service.best`."""
        job_id = self.job(job_id).id  # `latest` may be another by the second answer
        front = self.front(job_id, Scope.FRONT)
        if bounds is None:
            return front.best()
        if front.needs_others(bounds):
            front = self.front(job_id, Scope.ALL)
        return front.best(bounds)

    def optimum(
        self, job_id: str, bounds: Mapping[str, float] | None = None, *, verify: bool = False
    ) -> Optimum:
        """See `Service.optimum`."""
        from nas.analysis.optimum import find_optimum

        job = self._known(job_id)
        found = find_optimum(job, dict(bounds or {}))
        if verify and not found.point.verified:
            found = replace(found, point=self._engine.verify(job.job_id, found.point.architecture))
        return found

    def explain(self, job_id: str) -> dict[str, Any]:
        """See `Service.explain`."""
        from nas.analysis.explanation import explain_front

        return explain_front(self._known(job_id))

    def comparisons(self, job_id: str) -> list[Comparison]:
        """See `Service.comparisons`."""
        from nas.analysis.comparisons import compare_with_presets

        return compare_with_presets(self._known(job_id))

    def _known(self, job_id: str) -> KnownJob:
        from nas.analysis.known import KnownJob

        job = self.job(job_id)
        if not job.spec.searches:
            raise _no_search(job)
        return KnownJob(job.id, resolve(job.spec), self._store)

    def extract(self, job_id: str, digest: str, out: str | Path) -> dict[str, Any]:
        """See `Service.extract`."""
        from nas.service.running.extract import extract_point

        return extract_point(self._store, self.home, self.job(job_id), digest, Path(out))

    # What there is
    def spaces(self) -> list[dict[str, Any]]:
        """See `Service.spaces`."""
        return space_descriptions()

    def tasks(self) -> list[dict[str, Any]]:
        """See `Service.tasks`."""
        return task_descriptions()

    def presets(self, space: str | Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `Service.presets`."""
        try:
            return preset_descriptions(space)
        except SpaceError as error:
            raise InvalidSpec(error.problems) from error

    def targets(self) -> list[Target]:
        """See `Service.targets`."""
        return self._store.targets()

    def measurements(self, target: Target) -> list[tuple[Architecture, Measurement]]:
        """See `Service.measurements`."""
        found = self._store.measurements(target)
        architectures = self._store.architectures(m.digest for m in found)
        return [(architectures[m.digest], m) for m in found]

    def session_error(self, target: Target) -> SessionError:
        """See `Service.session_error`."""
        return session_error(self._store, target)

    def forget_measurements(
        self,
        target: Target,
        digest: str | None = None,
        since: float = 0.0,
        *,
        why: str = "",
        by: Identity | None = None,
    ) -> list[Forgotten]:
        """See `Service.forget_measurements`."""
        if said := overlong(why):
            raise InvalidSpec([Problem("why", said)])
        digests = None
        if digest is not None:
            known = [m.digest for m in self._store.measurements(target)]
            digests = [d for d in known if digest and d.startswith(digest)]
            if len(digests) != 1:
                said = "several digests begin" if digests else "no digest begins"
                raise NoSuchPoint(f"{said} with {digest!r:.80} among the {len(known)} measured on {target}")
        return self._store.forget_measurements(
            target, digests, since, by="" if by is None else by.name, why=why
        )

    def forgotten(self, target: Target | None = None) -> list[Forgotten]:
        """See `Service.forgotten`."""
        return self._store.forgotten(target)

    def devices(self) -> list[dict[str, Any]]:
        """See `Service.devices`."""
        return self._engine.devices() if "_engine" in self.__dict__ else []

    def limits(self) -> Limits:
        """See `Service.limits`."""
        return self._limits

    def close(self) -> None:
        """See `Service.close`."""
        for run in self._running.values():
            run.stop()
        if "_engine" in self.__dict__:
            self._engine.close()
        self._store.close()


def _no_search(job: Job) -> NoSuchPoint:
    """The error for what is asked of a job that ends before its search."""
    does = "profiles" if job.spec.until is StageName.PROFILE else "profiles and trains"
    return NoSuchPoint(f"job {job.id} only {does}; what that left: nas show {job.id}")


def _problems_of_names(spec: JobSpec, relative_to: Path) -> Sequence[Problem]:
    """What else is wrong with a spec whose form was mended."""
    try:
        resolve(spec, relative_to)
    except InvalidSpec as error:
        return error.problems
    return ()
