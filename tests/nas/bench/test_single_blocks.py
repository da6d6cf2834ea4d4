"""Jobs on spaces of many layers: single blocks are measured for what they tell, and are nothing else."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
import simulated

from nas.bench.backends import SimulatedComputeBackend, SimulatedMeasurementBackend
from nas.evaluation import Split
from nas.job import EventKind, Job, JobStatus, TargetProfile
from nas.planning.plan import resolve
from nas.stages.controls import control_architectures
from nas.stages.profile import holdout
from nas.store import open_store
from nas.store.store import Store
from searchspaces import Architecture
from workers.target import Target

SPACE = {
    "name": "deep-lm",
    "vocabulary": 256,
    "context": 32,
    "width": [16, 32],
    "depth": [8, 9, 10],
    "layer": {"mixer": ["softmax", "linear", "none"], "heads": [1, 2], "ratio": [1, 2]},
}
PROFILE = {"measurements": 32, "minimum": 32, "holdout": 8, "tolerance": 1e-6}


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> tuple[Path, Job]:
    """A home in which the phone was profiled, for tests to copy."""
    home = tmp_path_factory.mktemp("profiled")
    with closing(open_store(home)) as store:
        job, _ = profiled(store, home, "phone")
    return home, job


@pytest.fixture
def home(first, tmp_path) -> Path:
    return Path(shutil.copytree(first[0], tmp_path / "home"))


@pytest.fixture
def store(home):
    with closing(open_store(home)) as store:
        yield store


def slow(name: str):
    """A device of hundreds of milliseconds, where blocks alone take 5% longer than in whole models."""

    def latency(architecture: Architecture, target: Target) -> float:
        exact = 20 * simulated.DEVICES[name](architecture, target)
        return exact * (1.05 if architecture.depth == 1 else 1.0)

    return latency


def profiled(
    store: Store, home: Path, *devices: str, predictor: str = "auto"
) -> tuple[Job, SimulatedMeasurementBackend]:
    budget = {"profile": {**PROFILE, "predictor": predictor}}
    spec = simulated.spec(*devices, space=SPACE, until="profile", budget=budget)
    backend = SimulatedMeasurementBackend(store, {name: slow(name) for name in devices}, noise=0.01)
    job = simulated.run(store, home, spec, devices=backend)
    assert job.status is JobStatus.SUCCEEDED
    return job, backend


def depths(store: Store, digests: set[str]) -> dict[str, int]:
    return {digest: a.depth for digest, a in store.architectures(list(digests)).items()}


def told(store: Store, job: Job) -> list[TargetProfile]:
    kept = store.state(job.id, "profile") or {}
    return [TargetProfile.from_dict(each) for each in kept.values()]


def test_profiling_measures_single_blocks_and_says_how_many(store, first):
    _, job = first
    plan = resolve(job.spec)
    measured = depths(store, {m.digest for m in store.measurements(plan.targets[0])})
    blocks = sum(depth == 1 for depth in measured.values())
    (profile,) = told(store, job)
    # Between 5 and 16 of 32 by the seed.
    assert profile.single_blocks == blocks > 3
    assert profile.measured == PROFILE["measurements"]
    assert profile.held_out == PROFILE["holdout"]
    assert profile.mape < 0.03
    held_out = plan.space.decode(holdout(plan.space, PROFILE["holdout"], job.spec.seed))
    assert all(measured[a.digest] >= 8 for a in held_out)
    notes = [e.message for e in store.events(job.id, limit=10_000) if e.kind is EventKind.NOTE]
    assert any(f"from 32 measurements, {blocks} of them single blocks:" in note for note in notes)


def test_controls_of_deep_models_are_their_first_layers(store, first):
    controls = control_architectures(resolve(first[1].spec))
    assert [len(a.layers) for a in controls] == [1, 1]
    assert len({a.digest for a in controls}) == 2


def test_a_later_job_takes_no_single_block_again(store, home, first):
    again, backend = profiled(store, home, "phone")
    assert {digest for _, digest in backend.measured} <= {
        a.digest for a in control_architectures(resolve(again.spec))
    }
    assert told(store, again)[0].single_blocks == told(store, first[1])[0].single_blocks


def test_they_teach_about_other_devices_too(store, home):
    job, _ = profiled(store, home, "server")
    (profile,) = told(store, job)
    assert profile.single_blocks > 0
    assert profile.mape < 0.03


def test_a_predictor_of_whole_models_neither_asks_for_them_nor_sees_them(store, home):
    job, backend = profiled(store, home, "phone", predictor="macs")
    (profile,) = told(store, job)
    assert profile.single_blocks == 0
    assert profile.measured == PROFILE["measurements"]
    assert set(depths(store, {digest for _, digest in backend.measured}).values()) <= {8, 9, 10}


def test_no_search_takes_one_for_a_member(store, home):
    budget = {
        "profile": {"measurements": 16, "minimum": 16, "holdout": 6, "tolerance": 0.02},
        "train": {"steps": 1, "batch": 1},
        "search": {"evaluations": 12, "batch": 6, "strategy": "evolution"},
        "verify": {"rounds": 2, "evaluations": 6, "tolerance": 0.2},
    }
    spec = simulated.spec("phone", space=SPACE, budget=budget)
    backend = SimulatedMeasurementBackend(store, {"phone": slow("phone")}, noise=0.01)
    job = simulated.run(store, home, spec, SimulatedComputeBackend(simulated.quality), backend)
    assert job.status is JobStatus.SUCCEEDED
    measured = depths(store, {m.digest for m in store.measurements(resolve(job.spec).targets[0])})
    assert min(measured.values()) == 1
    assert min(point.architecture.depth for point in store.points(job.id)) == 8
    supernet = resolve(job.spec).supernet_digest
    scored = {e.digest for split in Split for e in store.evaluations(supernet, split)}
    assert min(depths(store, scored).values()) == 8
