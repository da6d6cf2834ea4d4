"""The store in memory: the same answers, kept nowhere; what the store contract is checked against."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from nas.cloud import Cloud, digest_numbers, single_precision
from nas.errors import NasError, NoSuchPoint
from nas.evaluation import Evaluation, Split
from nas.front import Scope
from nas.job import Event, Job, JobStatus, Viewer
from nas.objectives.objective import Key
from nas.point import Point
from nas.spec import JobSpec, StageName
from nas.store.identity import is_beginning, new_job_id, no_such_job, too_many_jobs
from nas.store.rows import extents_of
from nas.store.store import RESUMABLE, UNFINISHED, Forgotten, Repeat, Store, SupernetRecord
from nas.store.text import storable
from searchspaces.architecture import Architecture
from workers.measurement import Correction, Measurement, Reading
from workers.target import Target

__all__ = ["MemoryStore"]

T = TypeVar("T")


def _plain(data: Mapping[str, Any]) -> str:
    """Plain data is kept as JSON text, as a database keeps it: no caller can change it afterwards."""
    return json.dumps(dict(data))


@dataclass
class _Kept:
    """Everything of one job."""

    job: Job
    owner: str
    key: str | None
    holder: str | None = None
    held_until: float = 0.0
    events: list[tuple[Event, str]] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    journals: dict[str, list[str]] = field(default_factory=dict)
    points: dict[str, Point] = field(default_factory=dict)
    extents: dict[Key, tuple[float, float]] = field(default_factory=dict)
    place: str | None = None
    deaths: int = 0

    def held_by(self) -> str | None:
        """Whose lease has not expired."""
        return self.holder if self.held_until > time.time() else None

    def shown(self) -> Job:
        """The job as it stands now."""
        running = self.job.status is JobStatus.RUNNING
        return replace(self.job, abandoned=running and self.held_by() is None)


class MemoryStore(Store):
    """See `Store`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs: dict[str, _Kept] = {}
        self._architectures: dict[str, Architecture] = {}
        self._measurements: dict[Target, dict[str, Measurement]] = {}
        self._evaluations: dict[tuple[str, Split, float], dict[str, Evaluation]] = {}
        self._supernets: dict[str, SupernetRecord] = {}
        self._predictors: dict[tuple[str, Key], str] = {}
        self._forgotten: list[Forgotten] = []
        self._repeats: dict[tuple[Target, str, str], Reading] = {}
        self._checksums: dict[str, str] = {}

    def close(self) -> None:
        """See `Store.close`."""

    def _of(self, job_id: str) -> _Kept:
        if job_id not in self._jobs:
            raise no_such_job(job_id, [], list(self._jobs)[::-1])
        return self._jobs[job_id]

    # Jobs
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
        """See `Store.create_job`."""
        now = time.time()
        with self._lock:
            for kept in self._jobs.values():
                if key is not None and (kept.owner, kept.key) == (owner, key):
                    return kept.job
            self._check_limit(owner, most)
            # As a database would give it back.
            spec = JobSpec.model_validate_json(spec.model_dump_json())
            job_id = new_job_id(spec, self._jobs.__contains__)
            job = Job(
                job_id,
                spec,
                JobStatus.QUEUED,
                StageName.PROFILE,
                None,
                now,
                now,
                owner=owner,
                group=group,
                shared=shared,
            )
            self._jobs[job.id] = _Kept(job, owner, key)
            return job

    def _check_limit(self, owner: str, most: int | None) -> None:
        if most is not None and self.unfinished(owner) >= most:
            raise too_many_jobs(owner, most)

    def job(self, job_id: str, viewer: Viewer | None = None) -> Job:
        """See `Store.job`."""
        with self._lock:
            visible = {job.id: job for job in self.jobs(viewer=viewer)}
            if job_id in visible:
                return visible[job_id]
            matching = [other for other in visible if is_beginning(job_id) and other.startswith(job_id)]
            if len(matching) != 1:
                raise no_such_job(job_id, sorted(matching), list(visible))
            return visible[matching[0]]

    def jobs(
        self, limit: int | None = None, before: str | None = None, viewer: Viewer | None = None
    ) -> list[Job]:
        """See `Store.jobs`."""
        with self._lock:
            newest_first = [kept.shown() for kept in self._jobs.values()][::-1]
            newest_first = [
                job for job in newest_first if viewer is None or job.shared or job.belongs_to(viewer)
            ]
            if before is not None:
                newest_first = newest_first[newest_first.index(self.job(before, viewer)) + 1 :]
            return newest_first[:limit]

    def runnable(self, limit: int) -> list[Job]:
        """See `Store.runnable`."""
        with self._lock:
            waiting = [kept for kept in self._jobs.values() if kept.job.status in UNFINISHED]
            return [kept.shown() for kept in waiting if kept.held_by() is None][:limit]

    def unfinished(self, owner: str) -> int:
        """See `Store.unfinished`."""
        with self._lock:
            return sum(kept.owner == owner and kept.job.status in UNFINISHED for kept in self._jobs.values())

    def count_jobs(self) -> dict[JobStatus, int]:
        """See `Store.count_jobs`."""
        with self._lock:
            return dict(Counter(kept.job.status for kept in self._jobs.values()))

    def set_job(
        self, job_id: str, status: JobStatus, stage: StageName | None, error: NasError | None = None
    ) -> None:
        """See `Store.set_job`."""
        with self._lock:
            kept = self._of(job_id)
            message = None if error is None else storable(str(error))
            kind = None if error is None else type(error).__name__
            kept.job = replace(
                kept.job, status=status, stage=stage, error=message, error_kind=kind, updated_at=time.time()
            )
            if status is not JobStatus.RUNNING:
                kept.place, kept.deaths = None, 0

    def requeue(self, job_id: str, *, most: int | None = None) -> bool:
        """See `Store.requeue`."""
        with self._lock:
            kept = self._of(job_id)
            if kept.job.status not in RESUMABLE:
                return False
            self._check_limit(kept.owner, most)
            self.set_job(job_id, JobStatus.QUEUED, kept.job.stage)
            return True

    def reopen(self, job_id: str, spec: JobSpec, *, most: int | None = None) -> bool:
        """See `Store.reopen`."""
        with self._lock:
            kept = self._of(job_id)
            if kept.job.status is not JobStatus.SUCCEEDED:
                return False
            self._check_limit(kept.owner, most)
            spec = JobSpec.model_validate_json(spec.model_dump_json())
            kept.job = replace(kept.job, spec=spec)
            self.set_job(job_id, JobStatus.QUEUED, StageName.PROFILE)
            return True

    def amend(self, job_id: str, spec: JobSpec) -> None:
        """See `Store.amend`."""
        with self._lock:
            kept = self._of(job_id)
            spec = JobSpec.model_validate_json(spec.model_dump_json())
            kept.job = replace(kept.job, spec=spec, updated_at=time.time())

    def claim(self, job_id: str, owner: str, seconds: float) -> bool:
        """See `Store.claim`."""
        with self._lock:
            kept = self._of(job_id)
            if kept.held_by() not in (None, owner):
                return False
            kept.holder, kept.held_until = owner, time.time() + seconds
            return True

    def release(self, job_id: str, owner: str) -> None:
        """See `Store.release`."""
        with self._lock:
            kept = self._of(job_id)
            if kept.holder == owner:
                kept.holder = None

    def lease_owner(self, job_id: str) -> str | None:
        """See `Store.lease_owner`."""
        with self._lock:
            return self._of(job_id).held_by()

    def count_death(self, job_id: str) -> int:
        """See `Store.count_death`."""
        with self._lock:
            kept = self._of(job_id)
            kept.deaths += 1
            return kept.deaths

    def note_place(self, job_id: str, place: str) -> None:
        """See `Store.note_place`."""
        with self._lock:
            kept = self._of(job_id)
            if kept.place != place:
                kept.place, kept.deaths = place, 0

    # Events
    def append_event(self, job_id: str, event: Event) -> Event:
        """See `Store.append_event`."""
        with self._lock:
            kept = self._of(job_id)
            message = storable(event.message)
            stored = replace(event, message=message, sequence=len(kept.events) + 1, time=time.time())
            kept.events.append((stored, _plain(event.data)))
            kept.job = replace(kept.job, last_event=stored.sequence)
            return replace(stored, data=json.loads(kept.events[-1][1]))

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """See `Store.events`."""
        with self._lock:
            chosen = self._of(job_id).events[max(after, 0) :][:limit]
            return [replace(event, data=json.loads(data)) for event, data in chosen]

    # Things that cost time
    def put_architectures(self, architectures: Iterable[Architecture]) -> None:
        """See `Store.put_architectures`."""
        with self._lock:
            for architecture in architectures:
                self._architectures.setdefault(architecture.digest, architecture)

    def architectures(self, digests: Iterable[str]) -> dict[str, Architecture]:
        """See `Store.architectures`."""
        with self._lock:
            return {d: self._architectures[d] for d in digests if d in self._architectures}

    def add_measurement(self, measurement: Measurement) -> bool:
        """See `Store.add_measurement`."""
        with self._lock:
            known = self._measurements.setdefault(measurement.target, {})
            if measurement.digest in known:
                return False
            known[measurement.digest] = replace(measurement, measured_at=time.time())
            return True

    def correct_measurements(self, target: Target, corrections: Mapping[str, Correction | None]) -> None:
        """See `Store.correct_measurements`."""
        with self._lock:
            known = self._measurements.get(target, {})
            for digest in corrections.keys() & known.keys():
                known[digest] = replace(known[digest], correction=corrections[digest])

    def measurements(self, target: Target, digests: Iterable[str] | None = None) -> list[Measurement]:
        """See `Store.measurements`."""
        with self._lock:
            return _chosen(self._measurements.get(target, {}), digests)

    def put_repeats(self, target: Target, session: str, readings: Mapping[str, Reading]) -> None:
        """See `Store.put_repeats`."""
        with self._lock:
            self._repeats |= {(target, d, session): readings[d] for d in sorted(readings)}

    def repeats(self) -> list[Repeat]:
        """See `Store.repeats`."""
        with self._lock:
            return [
                Repeat(target, digest, self._measurements[target][digest].corrected, again)
                for (target, digest, _), again in sorted(
                    self._repeats.items(), key=lambda kept: str(kept[0][0])
                )
                if digest in self._measurements.get(target, {})
            ]

    def forget_measurements(
        self,
        target: Target,
        digests: Iterable[str] | None = None,
        since: float = 0.0,
        *,
        by: str = "",
        why: str = "",
    ) -> list[Forgotten]:
        """See `Store.forget_measurements`."""
        with self._lock:
            known = self._measurements.get(target, {})
            entries = [
                Forgotten(target, m.digest, m.latency_ms, m.measured_at, time.time(), by, why)
                for m in _chosen(known, digests)
                if m.measured_at >= since
            ]
            for entry in entries:
                del known[entry.digest]
                for of in [of for of in self._repeats if of[:2] == (target, entry.digest)]:
                    del self._repeats[of]
            if not known:
                self._measurements.pop(target, None)
            self._forgotten += entries
            return entries

    def forgotten(self, target: Target | None = None) -> list[Forgotten]:
        """See `Store.forgotten`."""
        with self._lock:
            return [entry for entry in self._forgotten if target in (None, entry.target)]

    def put_checksum(self, path: str, sha256: str) -> None:
        """See `Store.put_checksum`."""
        with self._lock:
            self._checksums[path] = sha256

    def checksum(self, path: str) -> str | None:
        """See `Store.checksum`."""
        with self._lock:
            return self._checksums.get(path)

    def targets(self) -> list[Target]:
        """See `Store.targets`."""
        with self._lock:
            return sorted(self._measurements, key=str)

    def add_evaluations(
        self, evaluations: Sequence[Evaluation], architectures: Iterable[Architecture] = ()
    ) -> None:
        """See `Store.add_evaluations`."""
        with self._lock:
            self.put_architectures(architectures)
            for evaluation in evaluations:
                known = self._evaluations.setdefault(
                    (evaluation.supernet, evaluation.split, evaluation.share), {}
                )
                known.setdefault(evaluation.digest, evaluation)

    def evaluations(
        self, supernet: str, split: Split, digests: Iterable[str] | None = None, share: float = 1.0
    ) -> list[Evaluation]:
        """See `Store.evaluations`."""
        with self._lock:
            return _chosen(self._evaluations.get((supernet, split, share), {}), digests)

    def put_supernet(self, record: SupernetRecord) -> None:
        """See `Store.put_supernet`."""
        with self._lock:
            self._supernets[record.digest] = record

    def supernet(self, digest: str) -> SupernetRecord | None:
        """See `Store.supernet`."""
        with self._lock:
            return self._supernets.get(digest)

    def put_predictor(self, space: str, objective: Key, state: Mapping[str, Any]) -> None:
        """See `Store.put_predictor`."""
        with self._lock:
            self._predictors[space, objective] = _plain(state)

    def predictor(self, space: str, objective: Key) -> dict[str, Any] | None:
        """See `Store.predictor`."""
        with self._lock:
            text = self._predictors.get((space, objective))
        return None if text is None else json.loads(text)

    # What a job itself must remember
    def put_state(
        self, job_id: str, name: str, state: Mapping[str, Any], entry: Mapping[str, Any] | None = None
    ) -> None:
        """See `Store.put_state`."""
        with self._lock:
            kept = self._of(job_id)
            kept.states[name] = _plain(state)
            if entry is not None:
                kept.journals.setdefault(name, []).append(_plain(entry))

    def state(self, job_id: str, name: str) -> dict[str, Any] | None:
        """See `Store.state`."""
        with self._lock:
            text = self._of(job_id).states.get(name)
        return None if text is None else json.loads(text)

    def journal(self, job_id: str, name: str) -> list[dict[str, Any]]:
        """See `Store.journal`."""
        with self._lock:
            return [json.loads(text) for text in self._of(job_id).journals.get(name, [])]

    def put_points(self, job_id: str, points: Sequence[Point]) -> None:
        """See `Store.put_points`."""
        with self._lock:
            kept = self._of(job_id)
            by_digest = {point.digest: point for point in points}
            kept.points.update(by_digest)
            for key, (low, high) in extents_of(by_digest.values()).items():
                lowest, highest = kept.extents.get(key, (low, high))
                kept.extents[key] = (min(lowest, low), max(highest, high))
            self.put_architectures(point.architecture for point in points)

    def points(
        self, job_id: str, scope: Scope = Scope.ALL, *, after: str | None = None, limit: int | None = None
    ) -> list[Point]:
        """See `Store.points`."""
        with self._lock:
            kept = self._of(job_id)
            if after is not None and after not in kept.points:
                raise NoSuchPoint(f"job {job_id} has no point {after!r}")
            first = 0 if after is None else list(kept.points).index(after) + 1
            points = list(kept.points.values())[first:]
        return [point for point in points if _within(point, scope)][:limit]

    def point(self, job_id: str, digest: str) -> Point:
        """See `Store.point`."""
        with self._lock:
            points = self._of(job_id).points.values()
        found = [point for point in points if is_beginning(digest) and point.digest.startswith(digest)]
        if len(found) != 1:
            raise NoSuchPoint(f"{len(found)} points of {job_id} begin with {digest!r}")
        return found[0]

    def cloud(self, job_id: str, keys: Sequence[Key]) -> Cloud:
        """See `Store.cloud`."""
        with self._lock:
            points = list(self._of(job_id).points.values())
        columns = {key: single_precision([_known(point, key) for point in points]) for key in keys}
        return Cloud(digest_numbers(point.digest for point in points), columns)

    def count_points(self, job_id: str) -> int:
        """See `Store.count_points`."""
        with self._lock:
            return len(self._of(job_id).points)

    def extents(self, job_id: str) -> dict[Key, tuple[float, float]]:
        """See `Store.extents`."""
        with self._lock:
            return dict(self._of(job_id).extents)


def _known(point: Point, key: Key) -> float | None:
    if key == ("quality", None):
        return point.validation
    return point.values[key].best_known if key in point.values else None


def _within(point: Point, scope: Scope) -> bool:
    return scope is Scope.ALL or point.on_front or (scope is Scope.SHOWN and point.preset is not None)


def _chosen(known: Mapping[str, T], digests: Iterable[str] | None) -> list[T]:
    """In the order in which they were added."""
    if digests is None:
        return list(known.values())
    wanted = set(digests)
    return [value for digest, value in known.items() if digest in wanted]
