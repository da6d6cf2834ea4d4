"""A store in this process's memory: the twin that shows what the contract means, and serves tests."""

from __future__ import annotations

import difflib
import json
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nas.errors import NoSuchJob
from nas.evaluation import Evaluation, Split
from nas.front import Point
from nas.job import Event, Job, JobSpec, JobStatus, StageName
from nas.store.store import UNFINISHED, Store, SupernetRecord
from searchspaces.architecture import Architecture
from workers.measurement import Measurement
from workers.target import Target

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """See `Store`. Nothing survives the process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._keys: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._leases: dict[str, tuple[str, float]] = {}
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._architectures: dict[str, Architecture] = {}
        self._measurements: dict[tuple[Target, str], Measurement] = {}
        self._evaluations: dict[tuple[str, Split, str], Evaluation] = {}
        self._supernets: dict[str, SupernetRecord] = {}
        self._predictors: dict[tuple[Target, str], str] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._points: dict[str, dict[str, Point]] = defaultdict(dict)

    def create_job(self, spec: JobSpec, *, key: str | None = None, owner: str = "") -> Job:
        """See `Store.create_job`."""
        now = time.time()
        job = Job(
            f"{spec.name}-{secrets.token_hex(3)}", spec, JobStatus.QUEUED, StageName.PROFILE, None, now, now
        )
        with self._lock:
            if key is not None and key in self._keys:
                return self._jobs[self._keys[key]]
            self._jobs[job.id] = job
            self._owners[job.id] = owner
            if key is not None:
                self._keys[key] = job.id
        return job

    def job(self, job_id: str) -> Job:
        """See `Store.job`."""
        with self._lock:
            if job_id in self._jobs:
                return self._jobs[job_id]
            beginning = [job for job in self._jobs.values() if job_id and job.id.startswith(job_id)]
            ids = [job.id for job in self.jobs()]
        if len(beginning) == 1:
            return beginning[0]
        if beginning:
            raise NoSuchJob(f"several jobs begin with {job_id!r}; give more of the id")
        near = difflib.get_close_matches(job_id, ids, n=3) or ids[:3]
        raise NoSuchJob(
            f"no job {job_id!r}; " + (f"near ones: {', '.join(near)}" if near else "there are none yet")
        )

    def jobs(self, limit: int | None = None, before: str | None = None) -> list[Job]:
        """See `Store.jobs`."""
        with self._lock:
            newest_first = list(reversed(self._jobs.values()))
            if before is not None:
                newest_first = newest_first[newest_first.index(self.job(before)) + 1 :]
        return newest_first[:limit]

    def runnable(self, limit: int) -> list[Job]:
        """See `Store.runnable`."""
        with self._lock:
            waiting = [job for job in self._jobs.values() if job.status in UNFINISHED]
            return [job for job in waiting if self.lease_owner(job.id) is None][:limit]

    def unfinished(self, owner: str) -> int:
        """See `Store.unfinished`."""
        with self._lock:
            return sum(self._owners[j.id] == owner and j.status in UNFINISHED for j in self._jobs.values())

    def set_job(
        self, job_id: str, status: JobStatus, stage: StageName | None, error: str | None = None
    ) -> None:
        """See `Store.set_job`."""
        with self._lock:
            changed = replace(
                self._jobs[job_id], status=status, stage=stage, error=error, updated_at=time.time()
            )
            self._jobs[job_id] = changed

    def claim(self, job_id: str, owner: str, seconds: float) -> bool:
        """See `Store.claim`."""
        with self._lock:
            if job_id not in self._jobs or self.lease_owner(job_id) not in (None, owner):
                return False
            self._leases[job_id] = (owner, time.time() + seconds)
            return True

    def release(self, job_id: str, owner: str) -> None:
        """See `Store.release`."""
        with self._lock:
            if self._leases.get(job_id, ("", 0.0))[0] == owner:
                del self._leases[job_id]

    def lease_owner(self, job_id: str) -> str | None:
        """See `Store.lease_owner`."""
        owner, until = self._leases.get(job_id, (None, 0.0))
        return owner if until >= time.time() else None

    def append_event(self, job_id: str, event: Event) -> Event:
        """See `Store.append_event`."""
        with self._lock:
            events = self._events[job_id]
            events.append(replace(event, sequence=len(events) + 1, time=time.time()))
            return events[-1]

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """See `Store.events`."""
        with self._lock:
            return self._events[job_id][after : after + limit]

    def put_architectures(self, architectures: Iterable[Architecture]) -> None:
        """See `Store.put_architectures`."""
        with self._lock:
            self._architectures |= {a.digest: a for a in architectures}

    def architectures(self, digests: Iterable[str]) -> dict[str, Architecture]:
        """See `Store.architectures`."""
        with self._lock:
            return {d: self._architectures[d] for d in digests if d in self._architectures}

    def add_measurement(self, measurement: Measurement) -> bool:
        """See `Store.add_measurement`."""
        key = (measurement.target, measurement.digest)
        with self._lock:
            if key in self._measurements:
                return False
            self._measurements[key] = replace(measurement, measured_at=time.time())
            return True

    def measurements(self, target: Target, digests: Iterable[str] | None = None) -> list[Measurement]:
        """See `Store.measurements`."""
        wanted = None if digests is None else set(digests)
        with self._lock:
            return [
                m
                for m in self._measurements.values()
                if m.target == target and (wanted is None or m.digest in wanted)
            ]

    def targets(self) -> list[Target]:
        """See `Store.targets`."""
        with self._lock:
            return sorted({target for target, _ in self._measurements}, key=str)

    def add_evaluations(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Store.add_evaluations`."""
        with self._lock:
            for evaluation in evaluations:
                key = (evaluation.supernet, evaluation.split, evaluation.digest)
                self._evaluations.setdefault(key, evaluation)

    def evaluations(
        self, supernet: str, split: Split, digests: Iterable[str] | None = None
    ) -> list[Evaluation]:
        """See `Store.evaluations`."""
        wanted = None if digests is None else set(digests)
        with self._lock:
            return [
                e
                for (net, part, digest), e in self._evaluations.items()
                if net == supernet and part == split and (wanted is None or digest in wanted)
            ]

    def put_supernet(self, record: SupernetRecord) -> None:
        """See `Store.put_supernet`."""
        with self._lock:
            self._supernets[record.digest] = record

    def supernet(self, digest: str) -> SupernetRecord | None:
        """See `Store.supernet`."""
        return self._supernets.get(digest)

    def put_predictor(self, target: Target, space: str, state: Mapping[str, Any]) -> None:
        """See `Store.put_predictor`."""
        with self._lock:
            self._predictors[target, space] = json.dumps(state)

    def predictor(self, target: Target, space: str) -> dict[str, Any] | None:
        """See `Store.predictor`."""
        return self._parsed(self._predictors.get((target, space)))

    def put_state(self, job_id: str, name: str, state: Mapping[str, Any]) -> None:
        """See `Store.put_state`."""
        with self._lock:
            self._states[job_id, name] = json.dumps(state)

    def state(self, job_id: str, name: str) -> dict[str, Any] | None:
        """See `Store.state`."""
        return self._parsed(self._states.get((job_id, name)))

    def put_points(self, job_id: str, points: Sequence[Point]) -> None:
        """See `Store.put_points`."""
        with self._lock:
            self._points[job_id] |= {point.digest: point for point in points}

    def points(self, job_id: str, on_front: bool | None = None) -> list[Point]:
        """See `Store.points`."""
        with self._lock:
            points = sorted(self._points[job_id].values(), key=lambda point: point.digest)
        return [point for point in points if on_front is None or point.on_front == on_front]

    def close(self) -> None:
        """See `Store.close`."""

    @staticmethod
    def _parsed(text: str | None) -> dict[str, Any] | None:
        """Kept as JSON text, so that only plain data goes in and nobody shares an object."""
        parsed: dict[str, Any] | None = None if text is None else json.loads(text)
        return parsed
