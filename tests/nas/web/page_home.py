"""A home with jobs of which enough is stored for every view of the page, without a device or a supernet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.errors import JobFailed
from nas.evaluation import Evaluation, Split
from nas.front import mark_front
from nas.job import Event, EventKind, Job, JobStatus, TargetProfile
from nas.objectives.value import Value
from nas.planning.plan import Plan, resolve
from nas.point import Point
from nas.spec import JobSpec, StageName, load_job_spec
from nas.stages.states import ProfileState
from nas.store import open_store
from nas.store.store import Store
from searchspaces.encoding import Population
from workers.measurement import Measurement
from workers.target import Target

SPEC = {
    "name": "shown",
    "space": "hybrid-lm",
    "task": "text",
    "targets": [{"device": "phone", "tokens": 1024}],
    "budget": {"finalists": {"count": 2}},
}


def store_page_jobs(home: Path, candidates: int = 600) -> dict[str, str]:
    """Ids by what the job is for: ``shown`` with a front on one target, ``two`` on two, ``failed``,
    ``waiting``, and ``profiled``, which ends with profiling though it has a task."""
    store = open_store(home)
    ids = {}
    for name, targets in (("shown", ["phone"]), ("two", ["phone", "server"])):
        spec = load_job_spec({**SPEC, "name": name, "targets": [{"device": d} for d in targets]})
        job = store_searched_job(store, spec, candidates)
        ids[name] = job.id
    failed = store.create_job(load_job_spec({**SPEC, "name": "failed"}))
    store.set_job(failed.id, JobStatus.FAILED, StageName.TRAIN, JobFailed("<b>disk</b> & memory ran out"))
    waiting = store.create_job(load_job_spec({**SPEC, "name": "waiting", "targets": [{"device": "absent"}]}))
    note = Event(EventKind.NOTE, StageName.PROFILE, "waits for a worker of absent")
    store.append_event(waiting.id, note)
    store.set_job(waiting.id, JobStatus.INTERRUPTED, StageName.PROFILE)
    profiled = store.create_job(load_job_spec({**SPEC, "name": "profiled", "until": "profile"}))
    target = profiled.spec.targets[0].target()
    profile = TargetProfile(target, "auto", 48, 16, 0.021, 1.0, 0.9, 0.993, 0.94, 6)
    ProfileState({str(target): profile}).save(store, profiled.id, StageName.PROFILE)
    store.set_job(profiled.id, JobStatus.SUCCEEDED, None)
    store.close()
    return {**ids, "failed": failed.id, "waiting": waiting.id, "profiled": profiled.id}


def store_searched_job(store: Store, spec: JobSpec, candidates: int) -> Job:
    """A job that has succeeded; what is fast is poor, a quarter of it measured."""
    plan = resolve(spec)
    job = store.create_job(plan.spec)
    drawn = np.random.default_rng(len(plan.targets))
    presets = plan.preset_population
    rows = np.unique(np.vstack([presets, plan.space.sample(candidates, drawn)]), axis=0)
    rows = rows[drawn.permutation(len(rows))]
    points = mark_front(_points(plan, rows, drawn), plan.objectives)
    store.put_points(job.id, points)
    store.add_evaluations(
        [
            Evaluation(plan.supernet_digest, p.digest, Split.VALIDATION, p.validation, 0.1)
            for p in points
            if p.validation is not None
        ]
    )
    profiles = {}
    for n, target in enumerate(plan.targets):
        measured = [p for p in points if p.measured_on(target)]
        for k, point in enumerate(measured[:80]):
            store.add_measurement(_measurement(point, target, k))
        profile = TargetProfile(target, "auto", 48, 16, 0.021 + 0.01 * n, 1.0, 0.9, 0.993, 0.94, 6)
        profiles[str(target)] = profile
    ProfileState(profiles).save(store, job.id, StageName.PROFILE)
    _tell(store, job)
    store.set_job(job.id, JobStatus.SUCCEEDED, None)
    return store.job(job.id)


def _points(plan: Plan, rows: Population, drawn: np.random.Generator) -> list[Point]:
    architectures = plan.space.decode(rows)
    names = {preset.architecture.digest: preset.name for preset in plan.presets.values()}
    macs = plan.counts(rows)["macs", None].astype(float)
    state = plan.counts(rows)["state_bytes", None].astype(float)
    quality = 3.4 - 0.28 * np.log10(macs / macs.min() + 1) - 0.05 * np.log10(state + 10) / 5
    quality += drawn.normal(0, 0.03, len(rows))
    counts = plan.counts(rows)
    points = []
    for n, architecture in enumerate(architectures):
        values = {key: Value(float(column[n])) for key, column in counts.items()}
        for k, target in enumerate(plan.targets):
            ms = macs[n] / 2.4e7 * (1 + k * 0.3 * np.sin(n)) + 1.5
            predicted = ms * (1 + drawn.normal(0, 0.03))
            measured = ms if n % 4 == 0 or architecture.digest in names else None
            std = 0.01 * ms if measured else None
            values["latency_ms", str(target)] = Value(float(predicted), 0.04 * ms, measured, std)
        name = names.get(architecture.digest)
        score = float(quality[n])
        points.append(Point(architecture.digest, architecture, score, score + 0.02, values, preset=name))
    return points


def _measurement(point: Point, target: Target, number: int) -> Measurement:
    ms = point.values["latency_ms", str(target)].best_known
    return Measurement(
        digest=point.digest,
        target=target,
        latency_ms=ms,
        spread_ms=0.02 * ms,
        error_ms=0.01 * ms,
        wall_ms=ms,
        reference_ms=2.0,
        drift=1.0 + 0.02 * np.sin(number / 9),
        peak_memory_bytes=1 << 24,
        repeats=12,
        rejected=0,
        noisy=number % 17 == 0,
    )


def _tell(store: Store, job: Job) -> None:
    for stage in job.spec.stages:
        store.append_event(job.id, Event(EventKind.STAGE, stage, "started"))
        for done in (0, 5, 10):
            progress = Event(EventKind.PROGRESS, stage, f"{done} of 10", float(done), 10.0)
            store.append_event(job.id, progress)
        store.append_event(job.id, Event(EventKind.STAGE, stage, "ended"))
    store.append_event(job.id, Event(EventKind.STATUS, None, "succeeded"))
