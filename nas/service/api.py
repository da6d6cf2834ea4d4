"""What can be asked of the service, wherever it runs.

`nas.service.running.embedded.EmbeddedService` answers in this process, and
`nas.service.client.remote.RemoteService` asks one elsewhere: the same calls, values and errors, so that
nothing above needs a second code path.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nas.analysis.sessions import SessionError
from nas.cloud import Cloud
from nas.comparison import Comparison
from nas.errors import NoSuchPoint
from nas.front import Front, Scope
from nas.job import Event, Job, TargetProfile, Viewer
from nas.objectives.latency_ms import Latency
from nas.optimum import Optimum
from nas.planning.limits import Limits
from nas.planning.start import context_of
from nas.point import Point
from nas.service.identity import Identity
from nas.spec import JobSpec
from nas.store import Forgotten
from nas.views import JointFront, joint_front
from searchspaces.architecture import Architecture
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["WATCH_SECONDS", "EventBatch", "Service"]

WATCH_SECONDS = 0.1
"""How often a watcher looks for new events."""


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What has happened in a job so far.

    Attributes:
        over: the job has stopped: no later event will come until it is resumed.
    """

    events: tuple[Event, ...]
    over: bool


class Service(ABC):
    """What can be asked of a service, embedded or remote: same calls, same answers, same errors."""

    @abstractmethod
    def submit(
        self,
        spec: JobSpec | str | Path | Mapping[str, Any],
        *,
        key: str | None = None,
        by: Identity | None = None,
        shared: bool = False,
        fast: bool = False,
    ) -> Job:
        """Validate a spec whole and store it as a queued job; `resume` starts it.

        Args:
            key: chosen by the caller: a submission repeated with the same key answers with the job that
                the first one made.
            by: whose job it is, and how many they may have; nobody's in particular where None.
            shared: everybody may look at it, its front and its models; only they and their group change it.
            fast: a first look at it, see `JobSpec.fast`.

        Raises:
            InvalidSpec: every problem at once; nothing is written.
            LimitExceeded: they have as many jobs as they may; nothing is written.
        """

    @abstractmethod
    def resume(self, job_id: str, *, by: Identity | None = None) -> Job:
        """Start a job, or go on with it from its last completed unit of work, in the background.

        Args:
            by: who asks, and how many unfinished jobs the job's owner may have for it; no limit where None.

        Raises:
            LimitExceeded: they have as many already, and the job was stopped; it stays as it is.
        """

    @abstractmethod
    def add_target(self, job_id: str, target: Target, *, by: Identity | None = None) -> Job:
        """Queue a job that has succeeded once more, for one more target; `resume` starts it.

        It costs the target's profiling and the measuring of the front on it: the supernet and every
        evaluation of quality are kept. Adding what the job has changes nothing.

        Args:
            by: see `resume`.

        Raises:
            InvalidSpec: the job has not succeeded, or the target cannot be one; nothing is written.
            LimitExceeded: see `resume`; nothing is written.
        """

    @abstractmethod
    def cancel(self, job_id: str) -> Job:
        """Stop a job for good."""

    @abstractmethod
    def interrupt(self, job_id: str) -> Job:
        """Stop a job that has not ended so that it can be resumed; returns once it has stopped."""

    @abstractmethod
    def events(self, job_id: str, after: int = 0) -> EventBatch:
        """Events stored so far with a sequence number above `after`, in order; does not wait.

        Raises:
            NasError: the job's own, where it failed and every event before that was given.
        """

    def watch(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """Events as they happen, those already stored first, until the job stops running.

        Raises:
            NasError: the job's own, at the end, where it failed.
        """
        job_id = self.job(job_id).id
        while True:
            batch = self.events(job_id, after)
            for event in batch.events:
                after = event.sequence
                yield event
            if not batch.events:
                if batch.over:
                    return
                time.sleep(WATCH_SECONDS)

    @abstractmethod
    def job(self, job_id: str, viewer: Viewer | None = None) -> Job:
        """A job by id or by the unambiguous beginning of one; ``"latest"`` is the newest.

        Args:
            viewer: who asks: of jobs that they may not look at there is none; None sees all. A remote service
                knows by itself who asks.
        """

    @abstractmethod
    def jobs(
        self, limit: int | None = None, before: str | None = None, viewer: Viewer | None = None
    ) -> list[Job]:
        """Jobs, newest first: all, or at most `limit` of those older than the job of id `before`; see `job`
        for the viewer."""

    @abstractmethod
    def profile(self, job_id: str) -> list[TargetProfile]:
        """What a job's profiling left: of each target that it has profiled, how well its predictor does on
        architectures that it never saw. A job of `until: profile` does nothing else; later jobs of its space
        and targets reuse its measurements and its predictors."""

    @abstractmethod
    def front(
        self, job_id: str, scope: Scope = Scope.SHOWN, *, after: str | None = None, limit: int | None = None
    ) -> Front:
        """The job's points, those on the front marked: by default its front and the presets, which stays
        quick however many candidates were evaluated.

        Args:
            after: digest of a point: only those that came to the job after it.
            limit: at most so many.

        Raises:
            NoSuchPoint: the job has no point `after`, or is one that ends before its search.
        """

    @abstractmethod
    def cloud(self, job_id: str) -> Cloud:
        """Every evaluated candidate of the job as columns of what it compares, and of latency on each of its
        targets: quick, and small, however many there are.

        Raises:
            NoSuchPoint: the job is one that ends before its search.
        """

    @abstractmethod
    def point(self, job_id: str, digest: str) -> Point:
        """The job's point of that digest, or of that unambiguous beginning of one.

        Raises:
            NoSuchPoint: none, or several.
        """

    def across(self, space: str, task: str, target: Target) -> JointFront:
        """What all jobs of one space and one task found for a target, as one front of quality and latency.

        Of each job its front and its presets are taken. Jobs of another declaration of the space, of other
        options of the task, or that start from another pretrained model or score it at another length, than
        the newest such job that has a point on the target are left out: their qualities do not compare.

        Args:
            space, task: their names.

        Raises:
            NoSuchPoint: no such job has a point on the target; what there is is named.
        """
        jobs = [job for job in self.jobs() if job.spec.searches]
        named = [job for job in jobs if (job.spec.space_name, job.spec.task_name) == (space, task)]
        on_target = [job for job in named if target in {item.target() for item in job.spec.targets}]
        found = [(job, front) for job in on_target if _has_point(front := self.front(job.id), target)]
        if not found:
            known = {
                f"{job.spec.space_name}/{job.spec.task_name} on {of}"
                for job in jobs
                for front in [self.front(job.id)]
                for of in front.targets
                if _has_point(front, of)
            }
            accepted = ", ".join(sorted(known)[:8]) or "none yet"
            raise NoSuchPoint(f"no job has a point of {space}/{task} on {target}; there are: {accepted}")
        newest = _scored_by(found[0][0].spec)
        alike = [front for job, front in found if _scored_by(job.spec) == newest]
        left_out = [job.id for job, _ in found if _scored_by(job.spec) != newest]
        return joint_front(alike, target, left_out)

    @abstractmethod
    def best(self, job_id: str, bounds: Mapping[str, float] | None = None) -> Point:
        """The point of best quality within the bounds (the job's own where None); see `Front.best`.

        Raises:
            NothingMeetsBounds: none; the nearest point is named.
        """

    @abstractmethod
    def optimum(
        self, job_id: str, bounds: Mapping[str, float] | None = None, *, verify: bool = False
    ) -> Optimum:
        """The architecture, evaluated or not, of best quality within the bounds and the job's own by the
        job's models, with what is proved of it.

        Args:
            verify: measure it on every target and evaluate it, unless that was done; it is a point of the
                job from then on.

        Raises:
            NoSuchPoint: the job knows too little yet for a model.
            NothingMeetsBounds: no architecture does by the models; the nearest is named.
            Busy: it is to be verified and the job is being run.
            NoWorker: it is to be verified and nobody serves a target.
        """

    @abstractmethod
    def explain(self, job_id: str) -> dict[str, Any]:
        """Why the job's front looks as it does, as plain data.

        ``importance``: by objective the share of each gene (its name without a layer's number) in how
        much the objective changes, by permutation; ``shared``: options that most members of the front have
        and few architectures elsewhere (``gene``, ``layer`` from 1 or None, ``option``, both shares);
        ``members``: of each member what it is ``best_in`` and its ``contribution``, the share of the
        front's hypervolume that would be lost without it; ``evaluations`` that it follows from.

        Raises:
            NoSuchPoint: too little is known yet.
        """

    @abstractmethod
    def comparisons(self, job_id: str) -> list[Comparison]:
        """The front's members beside published designs that are no faster, with standard errors: of those
        that were trained alone to one end where there are some, else with the supernet's weights. Empty
        where nothing was scored on the test split yet."""

    @abstractmethod
    def extract(self, job_id: str, digest: str, out: str | Path) -> dict[str, Any]:
        """Cut a point out of the supernet into the folder `out`; returns its manifest."""

    @abstractmethod
    def spaces(self) -> list[dict[str, Any]]:
        """Spaces that ship: name, description, size and genes."""

    @abstractmethod
    def tasks(self) -> list[dict[str, Any]]:
        """Registered tasks: name, description, metric, direction and options."""

    @abstractmethod
    def presets(self, space: str | Mapping[str, Any]) -> list[dict[str, Any]]:
        """Published designs within a space, by name, path or declaration: name, source and architecture."""

    @abstractmethod
    def targets(self) -> list[Target]:
        """Targets that have been measured."""

    @abstractmethod
    def measurements(self, target: Target) -> list[tuple[Architecture, Measurement]]:
        """What was measured on a target, in the order in which it was; nothing where it is not known."""

    @abstractmethod
    def session_error(self, target: Target) -> SessionError:
        """What sessions of measuring differ by on a target: a measurement's own standard error does not
        include it."""

    @abstractmethod
    def forget_measurements(
        self,
        target: Target,
        digest: str | None = None,
        since: float = 0.0,
        *,
        why: str = "",
        by: Identity | None = None,
    ) -> list[Forgotten]:
        """Forget what was measured on a target, so that later jobs measure it again; returns what was
        forgotten, which is written down in a journal. Points of finished jobs keep their values.

        Args:
            digest: of this architecture alone, or of the one whose digest begins so; of all where None.
            since: measured then or later, in seconds since the epoch.
            why: for the journal, in at most `searchspaces.documents.LONGEST_TEXT` characters.
            by: for the journal, who asked.

        Raises:
            NoSuchPoint: nothing of that digest was measured there, or several begin so.
            InvalidSpec: the reason is too long.
            Forbidden: the caller of a shared service is not an administrator.
        """

    @abstractmethod
    def forgotten(self, target: Target | None = None) -> list[Forgotten]:
        """The journal of `forget_measurements`, in order; of all targets where None."""

    @abstractmethod
    def devices(self) -> list[dict[str, Any]]:
        """Devices that are connected now: name and capabilities."""

    @abstractmethod
    def limits(self) -> Limits:
        """What the service takes on in one job: `submit` refuses what takes more."""

    @abstractmethod
    def close(self) -> None:
        """Stop what was started in this process; jobs stay resumable."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _has_point(front: Front, target: Target) -> bool:
    """Whether a point's quality and its latency on the target are known."""
    (latency,) = Latency.axes([target])
    return any(p.validation is not None and latency.key in p.values for p in front.points)


def _scored_by(spec: JobSpec) -> tuple[Any, ...]:
    """What jobs must have in common for their qualities to compare."""
    start = None if spec.start is None else (spec.start.digest, context_of(spec))
    return spec.space, spec.task, start
