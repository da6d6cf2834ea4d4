"""The interface of a store: what is kept, never how. One contract suite tests every implementation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.cloud import Cloud
from nas.errors import NasError
from nas.evaluation import Evaluation, Split
from nas.front import Scope
from nas.job import Event, Job, JobStatus, Viewer
from nas.objectives.objective import Key
from nas.point import Point
from nas.spec import JobSpec, StageName
from searchspaces.architecture import Architecture
from workers.measurement import Correction, Measurement, Reading
from workers.target import Target

__all__ = ["RESUMABLE", "UNFINISHED", "Forgotten", "Repeat", "Store", "SupernetRecord"]

UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)
"""A job of another status waits for nobody but its user."""

RESUMABLE = (JobStatus.FAILED, JobStatus.INTERRUPTED)
"""A job of such a status goes on from where it stands once it is queued."""


@dataclass(frozen=True, slots=True)
class SupernetRecord:
    """A trained supernet.

    Attributes:
        digest: of everything that its weights follow from (space, task, training budget, seed).
        path: of its safetensors file, relative to the store's folder.
        steps: optimiser steps taken.
        tokens_per_second: while training.
    """

    digest: str
    space: str
    task: str
    seed: int
    steps: int
    tokens_per_second: float
    path: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """An entry of the journal of measurements that somebody had the store forget.

    Attributes:
        latency_ms, measured_at: what was measured, and when.
        forgotten_at: seconds since the epoch.
        by: who asked; empty where nobody in particular did.
        why: in their words.
    """

    target: Target
    digest: str
    latency_ms: float
    measured_at: float
    forgotten_at: float
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Repeat:
    """What a device said of one model in two sessions of measuring.

    Attributes:
        first: what stands in the store, as it is computed with (`Measurement.corrected`).
        again: what a later session said, corrected likewise.
    """

    target: Target
    digest: str
    first: Reading
    again: Reading


class Store(ABC):
    """The only door to the database.

    Every method is one transaction: after it returns its effect survives a kill, and a kill within it
    leaves nothing. Methods may be called from several threads. JSON comes back as Python's `json` gives
    it; NUL and lone surrogates in messages, which databases refuse, come back as U+FFFD.

    Raises:
        NoSuchJob: from any method with a job's id, where no job has that id in full.
        StoreUnavailable: from any method, where the database or its disk cannot serve (locked beyond
            the timeout, full, gone, of a newer schema).
    """

    # Jobs
    @abstractmethod
    def create_job(
        self,
        spec: JobSpec,
        *,
        key: str | None = None,
        owner: str = "",
        most: int | None = None,
        group: str = "",
        shared: bool = False,
    ) -> Job:
        """Store a new queued job under a fresh id, ``f"{spec.name}-{6 hexadecimal digits}"``.

        Args:
            key: where the same owner created a job with the same key, that one is returned and nothing
                is stored.
            owner: whose it is.
            most: jobs of the owner that may be unfinished, this one included.
            group, shared: whom else it is open to, see `Job`.

        Raises:
            LimitExceeded: there are that many already; nothing is stored.
        """

    @abstractmethod
    def job(self, job_id: str, viewer: Viewer | None = None) -> Job:
        """The job of that id, or of that unambiguous beginning of an id, among those that the viewer may look
        at; all where None.

        Raises:
            NoSuchJob: none, or several; the message names near ones.
        """

    @abstractmethod
    def jobs(
        self, limit: int | None = None, before: str | None = None, viewer: Viewer | None = None
    ) -> list[Job]:
        """Jobs, newest first: all, or at most `limit` of those older than the job of id `before`, that the
        viewer may look at."""

    @abstractmethod
    def runnable(self, limit: int) -> list[Job]:
        """Queued jobs, and running ones whose lease has expired, oldest first."""

    @abstractmethod
    def unfinished(self, owner: str) -> int:
        """How many jobs of an owner are queued or running."""

    @abstractmethod
    def count_jobs(self) -> dict[JobStatus, int]:
        """How many jobs there are of each status; a status that none has is absent. No spec is read."""

    @abstractmethod
    def set_job(
        self, job_id: str, status: JobStatus, stage: StageName | None, error: NasError | None = None
    ) -> None:
        """Record where a job stands, and what ended it where it failed. A status other than running
        forgets the deaths that were counted."""

    @abstractmethod
    def requeue(self, job_id: str, *, most: int | None = None) -> bool:
        """Queue a job that failed or was interrupted at the stage where it stands, without its error and the
        deaths that were counted; False, and nothing changed, where it is of another status.

        Args:
            most: jobs of its owner that may be unfinished, this one included.

        Raises:
            LimitExceeded: there are that many already; nothing changed.
        """

    @abstractmethod
    def reopen(self, job_id: str, spec: JobSpec, *, most: int | None = None) -> bool:
        """Replace the spec of a job that has succeeded, and queue it from its first stage; False, and nothing
        changed, where it has not succeeded.

        Args:
            most: jobs of its owner that may be unfinished, this one included.

        Raises:
            LimitExceeded: there are that many already; nothing changed.
        """

    @abstractmethod
    def amend(self, job_id: str, spec: JobSpec) -> None:
        """Replace the spec of a job by one that says more exactly what was asked."""

    @abstractmethod
    def claim(self, job_id: str, owner: str, seconds: float) -> bool:
        """Take or renew the job's lease for `owner`; False where another owner's lease has not expired."""

    @abstractmethod
    def release(self, job_id: str, owner: str) -> None:
        """Give the lease back; nothing where `owner` does not hold it."""

    @abstractmethod
    def lease_owner(self, job_id: str) -> str | None:
        """Who holds the job's lease; None where nobody does or it has expired."""

    @abstractmethod
    def count_death(self, job_id: str) -> int:
        """Note that a process which ran the job died; returns how many have since it last got further."""

    @abstractmethod
    def note_place(self, job_id: str, place: str) -> None:
        """Note from where a process goes on with a job; another place than the last one noted means that
        the job got further, and forgets the deaths that were counted."""

    # Events
    @abstractmethod
    def append_event(self, job_id: str, event: Event) -> Event:
        """Store an event with the next sequence number and the present time; returns it."""

    @abstractmethod
    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """Events with a sequence number above `after`, in order."""

    # Things that cost time, reused by digest across jobs
    @abstractmethod
    def put_architectures(self, architectures: Iterable[Architecture]) -> None:
        """Remember architectures by digest; known ones are left alone."""

    @abstractmethod
    def architectures(self, digests: Iterable[str]) -> dict[str, Architecture]:
        """Those of the digests that are known."""

    @abstractmethod
    def add_measurement(self, measurement: Measurement) -> bool:
        """Keep a measurement, stamped with the present time; False where (digest, target) is there
        already, which is left as it is."""

    @abstractmethod
    def correct_measurements(self, target: Target, corrections: Mapping[str, Correction | None]) -> None:
        """Keep, by digest, what stands in for measurements of the target, in place of earlier corrections;
        what was measured stays beside it. With None it counts again as it was measured. Digests that were
        never measured are left out."""

    @abstractmethod
    def measurements(self, target: Target, digests: Iterable[str] | None = None) -> list[Measurement]:
        """Of one target in the order in which they were taken; of all digests where None."""

    @abstractmethod
    def put_repeats(self, target: Target, session: str, readings: Mapping[str, Reading]) -> None:
        """Keep, by digest, what a session of measuring said of models that were measured in earlier ones, in
        place of what it said of them before.

        Args:
            session: the same text for all that was measured without a longer break.
        """

    @abstractmethod
    def repeats(self) -> list[Repeat]:
        """Of all targets, each beside the measurement that it repeats: by target, in the order in which they
        were taken. What is older than the measurement that stands in the store now is left out, and so is
        what was forgotten."""

    @abstractmethod
    def forget_measurements(
        self,
        target: Target,
        digests: Iterable[str] | None = None,
        since: float = 0.0,
        *,
        by: str = "",
        why: str = "",
    ) -> list[Forgotten]:
        """Forget what was measured on a target: nobody hears of it any more, and the next measurement takes
        its place. What repeated it goes as well. Written down in a journal, whose new entries are
        returned.

        Args:
            digests: of these alone; of all where None.
            since: measured at that time or later, in seconds since the epoch.
        """

    @abstractmethod
    def forgotten(self, target: Target | None = None) -> list[Forgotten]:
        """The journal of `forget_measurements`, in order; of all targets where None."""

    @abstractmethod
    def targets(self) -> list[Target]:
        """Every target with a measurement."""

    @abstractmethod
    def add_evaluations(
        self, evaluations: Sequence[Evaluation], architectures: Iterable[Architecture] = ()
    ) -> None:
        """Keep evaluations; those of a known (supernet, digest, split, share) are left as they are.

        Args:
            architectures: what was evaluated, known by digest from then on.
        """

    @abstractmethod
    def evaluations(
        self, supernet: str, split: Split, digests: Iterable[str] | None = None, share: float = 1.0
    ) -> list[Evaluation]:
        """Of one supernet and share of a split, in the order in which they were added."""

    @abstractmethod
    def put_supernet(self, record: SupernetRecord) -> None:
        """Keep, or replace, the record of that digest."""

    @abstractmethod
    def supernet(self, digest: str) -> SupernetRecord | None:
        """The record of that digest."""

    @abstractmethod
    def put_checksum(self, path: str, sha256: str) -> None:
        """Keep, or replace, the SHA-256 of a file that the store refers to, by its path relative to the
        store's folder."""

    @abstractmethod
    def checksum(self, path: str) -> str | None:
        """The SHA-256 that was kept for that path; files of earlier versions have none."""

    @abstractmethod
    def put_predictor(self, space: str, objective: Key, state: Mapping[str, Any]) -> None:
        """Keep the state of the predictor of an objective in a space (its digest), in place of an earlier
        one."""

    @abstractmethod
    def predictor(self, space: str, objective: Key) -> dict[str, Any] | None:
        """The state kept for an objective in a space."""

    # What a job itself must remember
    @abstractmethod
    def put_state(
        self, job_id: str, name: str, state: Mapping[str, Any], entry: Mapping[str, Any] | None = None
    ) -> None:
        """Keep, or replace, a named piece of plain JSON data of a job (where a search stands, say).

        Args:
            entry: plain JSON data too, added to the end of the journal of that name with it: what is only
                ever added to need not be written again and again.
        """

    @abstractmethod
    def state(self, job_id: str, name: str) -> dict[str, Any] | None:
        """The piece of that name."""

    @abstractmethod
    def journal(self, job_id: str, name: str) -> list[dict[str, Any]]:
        """All entries that came with the states of that name, in order."""

    @abstractmethod
    def put_points(self, job_id: str, points: Sequence[Point]) -> None:
        """Insert points, or replace those with the same digest in this job, which keep their place; their
        architectures are known from then on. Of points with one digest the last counts."""

    @abstractmethod
    def points(
        self, job_id: str, scope: Scope = Scope.ALL, *, after: str | None = None, limit: int | None = None
    ) -> list[Point]:
        """Points of a job in the order in which they first came. Those of a narrower scope are found
        without reading the others.

        Args:
            after: digest of a point of the job: only what came after it.
            limit: at most so many.

        Raises:
            NoSuchPoint: the job has no point `after`.
        """

    @abstractmethod
    def point(self, job_id: str, digest: str) -> Point:
        """The job's point of that digest, or of that unambiguous beginning of one.

        Raises:
            NoSuchPoint: none, or several.
        """

    @abstractmethod
    def cloud(self, job_id: str, keys: Sequence[Key]) -> Cloud:
        """All points of a job in the order in which they first came, as columns of the objectives `keys`:
        quality on the validation split, best known values of the others."""

    @abstractmethod
    def count_points(self, job_id: str) -> int:
        """How many points a job has."""

    @abstractmethod
    def extents(self, job_id: str) -> dict[Key, tuple[float, float]]:
        """The lowest and the highest value that points of the job ever had, kept as they are put: of
        quality on the validation split, and of every objective that points have values of, best known.
        What no point had is absent."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; the store is not used afterwards."""
