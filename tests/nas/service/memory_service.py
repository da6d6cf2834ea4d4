"""A small, real `Service` that keeps everything in memory: what the wire is tested with."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.analysis.sessions import SessionError
from nas.cloud import Cloud, digest_numbers
from nas.comparison import Comparison, Difference
from nas.errors import InvalidSpec, NasError, NoSuchJob, NoSuchPoint, NothingMeetsBounds
from nas.front import Front, Scope, extent_of
from nas.job import Event, EventKind, Job, JobStatus, TargetProfile, Viewer
from nas.objectives import Direction, Objective, Source
from nas.objectives.value import Value
from nas.optimum import Optimum
from nas.planning.limits import Limits
from nas.point import Point
from nas.service.api import EventBatch, Service
from nas.service.identity import Identity
from nas.spec import JobSpec, StageName, TargetSpec, load_job_spec
from nas.store import Forgotten
from searchspaces.architecture import Architecture, Layer
from searchspaces.errors import Problem
from workers.measurement import Measurement
from workers.target import Target

TARGET = Target("local-cpu")
SPEC = {"space": "hybrid-lm", "task": {"name": "text"}, "targets": [{"device": "local-cpu"}]}
OBJECTIVES = (
    Objective("quality", "bits_per_byte", Direction.MIN, Source.EVALUATED),
    Objective("latency_ms", "ms", Direction.MIN, Source.PREDICTED, 8.0, TARGET),
)
ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.INTERRUPTED}


def point(width: int) -> Point:
    architecture = Architecture(256, width, (Layer("softmax", 4), Layer("none", 0)))
    return Point(
        architecture.digest,
        architecture,
        validation=2.0 + 1 / width,
        test=None,
        values={
            ("parameters", None): Value(width * 1000.0),
            ("macs", None): Value(width * 1e6),
            ("state_bytes", None): Value(width * 8.0),
            ("latency_ms", str(TARGET)): Value(width / 10, 0.1, measured=width / 9, measured_std=0.2),
        },
        on_front=True,
    )


class MemoryService(Service):
    """Keeps jobs and events; fails a call with `error` where a test sets one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stored: dict[str, Job] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.logs: dict[str, list[Event]] = {}
        self.points = tuple(point(width) for width in (16, 32, 64))
        self.measured: dict[Target, list[tuple[Architecture, Measurement]]] = {}
        self.journal: list[Forgotten] = []
        self.error: Exception | None = None
        self.submissions: list[tuple[JobSpec, str]] = []
        self.files = {"model.onnx": bytes(range(256)) * 4096, "empty.txt": b""}

    def _meet(self) -> None:
        if self.error is not None:
            raise self.error

    def report(self, job_id: str, event: Event) -> None:
        with self.lock:
            log = self.logs[job_id]
            log.append(replace(event, sequence=len(log) + 1, time=1.5))
            self.stored[job_id] = replace(self.stored[job_id], last_event=len(log))

    def set_status(self, job_id: str, status: JobStatus) -> Job:
        with self.lock:
            self.stored[job_id] = replace(self.stored[job_id], status=status, updated_at=time.time())
            return self.stored[job_id]

    def submit(
        self,
        spec: JobSpec | str | Path | Mapping[str, Any],
        *,
        key: str | None = None,
        by: Identity | None = None,
        shared: bool = False,
        fast: bool = False,
    ) -> Job:
        self._meet()
        spec = spec if isinstance(spec, JobSpec) else load_job_spec(spec)
        spec = spec.fast() if fast else spec
        with self.lock:
            owner = by.name if by else ""
            if key is not None and (owner, key) in self.keys:
                return self.stored[self.keys[owner, key]]
            job = Job(
                f"{spec.name}-{len(self.stored):06x}",
                spec,
                JobStatus.QUEUED,
                StageName.PROFILE,
                None,
                1.0,
                2.0,
                owner=owner,
                group=by.group if by else "",
                shared=shared,
            )
            self.stored[job.id] = job
            self.logs[job.id] = []
            self.submissions.append((spec, owner))
            if key is not None:
                self.keys[owner, key] = job.id
            return job

    def resume(self, job_id: str, *, by: Identity | None = None) -> Job:
        return self.set_status(self.job(job_id).id, JobStatus.RUNNING)

    def add_target(self, job_id: str, target: Target, *, by: Identity | None = None) -> Job:
        job = self.job(job_id)
        spec = job.spec.model_copy(update={"targets": (*job.spec.targets, TargetSpec.of(target))})
        self.stored[job.id] = replace(job, spec=spec)
        return self.set_status(job.id, JobStatus.QUEUED)

    def cancel(self, job_id: str) -> Job:
        return self.set_status(self.job(job_id).id, JobStatus.CANCELLED)

    def interrupt(self, job_id: str) -> Job:
        return self.set_status(self.job(job_id).id, JobStatus.INTERRUPTED)

    def events(self, job_id: str, after: int = 0) -> EventBatch:
        self._meet()
        job = self.job(job_id)
        with self.lock:
            return EventBatch(tuple(self.logs[job.id][after:]), job.status in ENDED)

    def job(self, job_id: str, viewer: Viewer | None = None) -> Job:
        self._meet()
        visible = {job.id: job for job in self.jobs(viewer=viewer)}
        if job_id == "latest" and visible:
            return next(iter(visible.values()))
        if job_id not in visible:
            raise NoSuchJob(f"no job {job_id!r}")
        return visible[job_id]

    def jobs(
        self, limit: int | None = None, before: str | None = None, viewer: Viewer | None = None
    ) -> list[Job]:
        self._meet()
        newest_first = list(self.stored.values())[::-1]
        newest_first = [j for j in newest_first if viewer is None or j.shared or j.belongs_to(viewer)]
        if before is not None:
            newest_first = newest_first[newest_first.index(self.job(before)) + 1 :]
        return newest_first[:limit]

    def profile(self, job_id: str) -> list[TargetProfile]:
        self.job(job_id)
        return [TargetProfile(TARGET, "auto", 24, 16, 0.03, 1.0, 0.75, 0.99, 0.9)]

    def front(
        self, job_id: str, scope: Scope = Scope.SHOWN, *, after: str | None = None, limit: int | None = None
    ) -> Front:
        self._meet()
        digests = [point.digest for point in self.points]
        first = 0 if after is None else digests.index(after) + 1
        chosen = [point for point in self.points[first:] if scope is Scope.ALL or point.on_front]
        return Front(
            job=self.job(job_id).id,
            space="hybrid-lm",
            task="text",
            metric="bits_per_byte",
            direction=Direction.MIN,
            targets=(TARGET,),
            objectives=OBJECTIVES,
            points=tuple(chosen[:limit]),
            evaluated=len(self.points),
            extent=extent_of(self.points, OBJECTIVES),
        )

    def cloud(self, job_id: str) -> Cloud:
        self.job(job_id)
        points = self.points
        return Cloud(
            digest_numbers(p.digest for p in points),
            {o.key: np.array([p.value(o) for p in points], np.float32) for o in OBJECTIVES},
        )

    def point(self, job_id: str, digest: str) -> Point:
        self.job(job_id)
        found = [point for point in self.points if point.digest.startswith(digest)]
        if len(found) != 1:
            raise NoSuchPoint(f"{len(found)} points begin with {digest!r}")
        return found[0]

    def best(self, job_id: str, bounds: Mapping[str, float] | None = None) -> Point:
        self.job(job_id)
        limit = {"latency_ms": 8.0, **(bounds or {})}["latency_ms"]
        within = [p for p in self.points if p.values["latency_ms", str(TARGET)].best_known <= limit]
        if not within:
            raise NothingMeetsBounds(f"no point within latency_ms {limit}")
        return min(within, key=lambda p: p.validation or 0.0)

    def optimum(
        self, job_id: str, bounds: Mapping[str, float] | None = None, *, verify: bool = False
    ) -> Optimum:
        best = self.best(job_id, bounds)
        if not verify:
            best = replace(best, validation=None)
        return Optimum(best, 2.0, 0.1, 1e-5, True, 40, 0.5)

    def explain(self, job_id: str) -> dict[str, Any]:
        return {"job": self.job(job_id).id, "importance": {"quality": {"mixer": 1.0}}, "größe": [None]}

    def comparisons(self, job_id: str) -> list[Comparison]:
        job = self.job(job_id)
        difference = Difference(-0.25, 0.125, 92)
        return [
            Comparison(t.target(), "a" * 16, "b" * 16, "softmax-L4", 2.0, 4.0, 1.75, 2.0, difference, 1200)
            for t in job.spec.targets
        ]

    def extract(self, job_id: str, digest: str, out: str | Path) -> dict[str, Any]:
        self.job(job_id)
        out = Path(out)
        out.mkdir(parents=True)
        for name, content in self.files.items():
            (out / name).write_bytes(content)
        manifest = {"job": job_id, "digest": digest, "größe": [1, 2.5, None]}
        (out / "manifest.json").write_text(json.dumps(manifest))
        return manifest

    def spaces(self) -> list[dict[str, Any]]:
        self._meet()
        return [{"name": "hybrid-lm", "size": 10**40, "width": [128]}]

    def tasks(self) -> list[dict[str, Any]]:
        return [{"name": "text", "options": {}}]

    def presets(self, space: str | Mapping[str, Any]) -> list[dict[str, Any]]:
        if isinstance(space, str) and space != "hybrid-lm":
            raise InvalidSpec([Problem("space", "no such space")])
        return [{"name": "plain", "space": space}]

    def targets(self) -> list[Target]:
        return [TARGET]

    def measurements(self, target: Target) -> list[tuple[Architecture, Measurement]]:
        return self.measured.get(target, [])

    def session_error(self, target: Target) -> SessionError:
        return SessionError(0.02, 3)

    def forget_measurements(
        self,
        target: Target,
        digest: str | None = None,
        since: float = 0.0,
        *,
        why: str = "",
        by: Identity | None = None,
    ) -> list[Forgotten]:
        known = self.measured.pop(target, [])
        entries = [
            Forgotten(target, m.digest, m.latency_ms, m.measured_at, 9.0, by.name if by else "", why)
            for _, m in known
        ]
        self.journal += entries
        return entries

    def forgotten(self, target: Target | None = None) -> list[Forgotten]:
        return [entry for entry in self.journal if target in (None, entry.target)]

    def devices(self) -> list[dict[str, Any]]:
        return [{"name": "local-cpu"}]

    def limits(self) -> Limits:
        return Limits(memory_bytes=3 << 30)

    def close(self) -> None:
        pass


def progress(done: float) -> Event:
    return Event(EventKind.PROGRESS, StageName.TRAIN, f"step {done:g}", done, 10.0, {"loss": 1 / (1 + done)})


def raising(error: NasError) -> MemoryService:
    service = MemoryService()
    service.error = error
    return service
