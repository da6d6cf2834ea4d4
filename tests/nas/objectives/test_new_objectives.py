"""Whole jobs on objectives besides latency: simulated devices that tell how much memory a model takes."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nas.analysis.known import KnownJob
from nas.analysis.optimum import find_optimum
from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.controller.controller import Controller
from nas.errors import JobFailed, NothingMeetsBounds
from nas.evaluation import Split
from nas.front import Front, Scope
from nas.job import Job, JobStatus
from nas.objectives import Direction
from nas.objectives.kind import OBJECTIVES, Measured, Observation, register_objective
from nas.objectives.latency_ms import Latency
from nas.objectives.peak_memory_bytes import PeakMemory
from nas.planning.plan import resolve
from nas.point import Point
from nas.report.csv_table import csv_table
from nas.report.page import page
from nas.report.picture import picture
from nas.service.running.embedded import EmbeddedService
from nas.spec import load_job_spec
from nas.stages.fitting import _observed
from nas.store import open_store
from nas.store.store import Store
from searchspaces.architecture import Architecture
from workers.measurement import Measurement
from workers.request import Outcome
from workers.target import Target

SPEC = {
    "name": "memory",
    "space": {
        "name": "tiny-lm",
        "vocabulary": 256,
        "context": 32,
        "width": [16, 32],
        "depth": [1, 2, 3],
        "layer": {"mixer": ["softmax", "linear", "none"], "heads": [2], "ratio": [1, 2]},
    },
    "task": {"name": "text", "evaluation_tokens": 512},
    "targets": [{"device": "phone", "tokens": 64}],
    "objectives": ["quality", "latency_ms", "peak_memory_bytes", "weight_bytes"],
    "budget": {
        "profile": {"measurements": 16, "minimum": 8, "holdout": 6, "tolerance": 0.02},
        "train": {"steps": 1, "batch": 1},
        "search": {"evaluations": 30, "batch": 6, "strategy": "evolution"},
        "verify": {"rounds": 2, "evaluations": 6, "tolerance": 0.2},
    },
}
PHONE = Target.parse("phone/onnxruntime/fp32/1t/prefill/b1/n64")
MEMORY = "peak_memory_bytes", str(PHONE)


def latency(architecture: Architecture, target: Target) -> float:
    return 0.5 + sum(0.2 * (layer.mixer != "none") + 0.3 * layer.ratio for layer in architecture.layers)


def quality(architecture: Architecture, split: Split) -> float:
    return 2.0 + 4.0 / (1.0 + latency(architecture, PHONE)) + 4.0 / architecture.width


def memory(architecture: Architecture) -> int:
    """Weights, and the largest layer alone."""
    layers = architecture.layers
    largest = max(64 * architecture.width * (2 + 4 * layer.ratio) for layer in layers)
    return int(200_000 + 4 * 256 * architecture.width + 40 * largest)


class Telling(SimulatedMeasurementBackend):
    """Devices that tell memory too."""

    def _measure(self, digest: str, target: Target) -> Outcome:
        peak = memory(self.store.architectures([digest])[digest])
        return replace(super()._measure(digest, target), peak_memory_bytes=peak)


def run(store: Store, home: Path, backend: type[SimulatedMeasurementBackend], **changes: object) -> Job:
    job = store.create_job(load_job_spec({**SPEC, **changes}))
    devices = backend(store, {"phone": latency})
    Controller(store, home, devices, SimulatedComputeBackend(quality)).run(job.id, lambda: False)
    return store.job(job.id)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("home")
    with closing(open_store(home)) as store:
        job = run(store, home, Telling)
        assert job.status is JobStatus.SUCCEEDED
        yield home, job, KnownJob(job.id, resolve(job.spec), store)


def front_of(done) -> Front:
    home, job, _ = done
    with EmbeddedService(home) as service:
        return service.front(job.id, Scope.ALL)


def test_points_have_what_was_measured_predicted_and_counted(done) -> None:
    front = front_of(done)
    assert [o.name for o in front.objectives] == SPEC["objectives"]
    for point in front.members():
        value = point.values[MEMORY]
        assert value.measured == memory(point.architecture)
        assert value.predicted == pytest.approx(value.measured, rel=0.5)
        assert (
            point.values["weight_bytes", str(PHONE)].best_known
            == 4 * point.values["parameters", None].predicted
        )
    assert Front.from_dict(json.loads(json.dumps(front.to_dict()))) == front


def test_the_best_within_a_bound_on_memory(done) -> None:
    front = front_of(done)
    bound = sorted(point.values[MEMORY].best_known for point in front.members())[1]
    for name in ("peak_memory_bytes", "memory", "memory@phone"):
        best = front.best({name: bound})
        assert best.values[MEMORY].best_known <= bound
    assert front.best().values[MEMORY].best_known > bound


def test_the_optimum_meets_bounds_on_them(done) -> None:
    """Memory is a maximum over layers: where that is no sum, the optimum is checked against what its nearest
    sum stands for."""
    _, _, job = done
    found = find_optimum(job, {"peak_memory_bytes": 700_000, "weight_bytes": 60_000})
    assert found.point.values[MEMORY].best_known <= 700_000
    assert found.point.values["weight_bytes", str(PHONE)].best_known <= 60_000


def test_reports_show_them(done) -> None:
    front = front_of(done)
    text = page(front)
    assert "Quality over peak memory" in text
    assert "Quality over weights" in text
    assert f"{PHONE}:peak_memory_bytes:measured" in csv_table(front)
    assert f"{PHONE}:weight_bytes," in csv_table(front)
    assert "latency, ms" in picture(front, PHONE)
    only = replace(front, objectives=tuple(o for o in front.objectives if o.kind != "latency_ms"))
    assert "peak memory, " in picture(only, PHONE)


def test_a_bound_of_the_job_is_kept(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        job = run(store, tmp_path, Telling, bounds={"peak_memory_bytes": 700_000})
        assert job.status is JobStatus.SUCCEEDED
        front: list[Point] = store.points(job.id, Scope.FRONT)
        assert front
        assert all(memory(point.architecture) <= 700_000 for point in front)


def test_single_blocks_teach_nothing_of_memory(tmp_path: Path) -> None:
    """Where profiling measures layers alone, latency learns from them; a maximum over layers cannot."""
    plan = resolve(load_job_spec({**SPEC, "space": {**SPEC["space"], "name": "deep", "depth": [6, 7]}}))
    space = plan.profiled_space
    rows = space.sample(200, np.random.default_rng(0))
    alone = ~space.is_member(rows)
    assert 0 < alone.sum() < len(rows)
    taken = [Measurement("a", PHONE, 2.0, 0.1, 0.01, 2.1, 1.5, 1.0, 4096, 30, 2, False) for _ in rows]
    with closing(open_store(tmp_path)) as store:
        context = SimpleNamespace(plan=plan, store=store)
        assert [told is None for told in _observed(context, PeakMemory, PHONE, rows, taken)] == alone.tolist()
        assert None not in _observed(context, Latency, PHONE, rows, taken)


def test_a_device_that_does_not_tell_memory_is_said(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        with pytest.raises(JobFailed, match="tells no peak memory: 0 of"):
            run(store, tmp_path, SimulatedMeasurementBackend)
        # What it does not tell is no obstacle where nobody asks for it.
        job = run(store, tmp_path, SimulatedMeasurementBackend, objectives=["quality", "latency_ms"])
        assert job.status is JobStatus.SUCCEEDED
        assert all(MEMORY not in point.values for point in store.points(job.id))


@pytest.mark.parametrize(("bound", "told"), [(900.0, None), (1e6, "no architecture of tiny-lm is predicted")])
def test_a_bound_on_what_is_maximised_is_out_of_reach_from_below(
    tmp_path: Path, bound: float, told: str | None
) -> None:
    with OBJECTIVES.scratch():

        @register_objective("tokens_per_second")
        class Throughput(Measured):
            """Tokens of a prompt that are read a second."""

            unit = "tokens/s"
            direction = Direction.MAX

            @classmethod
            def observed(cls, measurement: Measurement) -> Observation | None:
                return Observation(1e3 * measurement.target.workload.tokens / measurement.latency_ms)

        objectives = ["quality", "tokens_per_second"]
        changes = {"objectives": objectives, "bounds": {"tokens_per_second": bound}, "until": "profile"}
        with closing(open_store(tmp_path)) as store:
            if told is None:
                assert run(store, tmp_path, Telling, **changes).status is JobStatus.SUCCEEDED
            else:
                with pytest.raises(NothingMeetsBounds, match=told):
                    run(store, tmp_path, Telling, **changes)
