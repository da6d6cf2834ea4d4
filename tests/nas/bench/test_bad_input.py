"""Bounds that nothing meets, spaces of one architecture and scores that are no numbers, in whole jobs."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import pytest
import simulated

import nas
from nas.bench.backends import SimulatedComputeBackend
from nas.errors import InvalidSpec, NothingMeetsBounds
from nas.evaluation import Split
from nas.front import Scope
from nas.job import EventKind, JobStatus
from nas.spec import JobSpec, StageName
from nas.store import open_store
from searchspaces.architecture import Architecture

COUNTS = ["quality", "latency_ms", "parameters", "state_bytes"]


@pytest.mark.parametrize(
    ("part", "budget", "path", "said"),
    [
        ("search", {"fidelities": [0.1, 1]}, "budget.search.fidelities", r"less than one; accepted: .* 0\.5"),
        ("finalists", {"start": "scratch", "minutes": 5}, "budget.finalists.count", "accepted: a count"),
    ],
)
def test_budgets_that_pay_for_nothing_are_refused_at_submission(
    tmp_path: Path, part: str, budget: dict, path: str, said: str
) -> None:
    spec = simulated.spec("phone", task={"name": "text", "evaluation_tokens": 1024})
    spec = simulated.spec(
        "phone", task=spec.task.model_dump(), budget={**spec.budget.model_dump(), part: budget}
    )
    with nas.connect(home=tmp_path) as client:
        with pytest.raises(InvalidSpec, match=said) as refused:
            client.submit(spec)
        assert [problem.path for problem in refused.value.problems] == [path]
        assert client.jobs() == []


@pytest.mark.parametrize(
    ("bounds", "path", "said"),
    [
        ({"parameters": 10}, "bounds.parameters", r"meets it; the nearest has parameters \S+ \(asked ≤ 10, "),
        ({"parameters": 4_600, "state_bytes": 1}, "bounds", "meets all of them; the nearest has parameters"),
    ],
)
def test_bounds_on_counts_that_nothing_meets_are_refused_before_anything_is_stored(
    tmp_path: Path, bounds: dict, path: str, said: str
) -> None:
    spec = simulated.spec("phone", objectives=COUNTS, bounds=bounds)
    with nas.connect(home=tmp_path) as client:
        with pytest.raises(InvalidSpec, match=said) as refused:
            client.submit(spec)
        assert [problem.path for problem in refused.value.problems] == [path]
        assert client.jobs() == []


def test_narrow_bounds_on_counts_that_something_meets_are_accepted(tmp_path: Path) -> None:
    spec = simulated.spec("phone", objectives=COUNTS, bounds={"parameters": 6_000, "state_bytes": 1})
    with nas.connect(home=tmp_path) as client:
        assert client.submit(spec).status is JobStatus.QUEUED


def test_a_space_too_large_for_the_strategy_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    spec = simulated.spec("phone").model_dump(mode="json")
    spec["space"]["layer"] |= {"heads": [1, 2], "ratio": [n / 16 for n in range(1, 1025)]}
    with nas.connect(home=tmp_path) as client:
        assert client.submit(spec).status is JobStatus.QUEUED
        spec["budget"]["search"]["strategy"] = "exact"
        with pytest.raises(InvalidSpec, match=r"exact.*6144 options of one layer; at most 4096") as refused:
            client.submit(spec)
        assert [problem.path for problem in refused.value.problems] == ["budget.search.strategy"]
        assert len(client.jobs()) == 1


def test_a_latency_that_nothing_reaches_ends_the_job_before_training(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        job = store.create_job(simulated.spec("phone", bounds={"latency_ms": 0.1}))
        with pytest.raises(
            NothingMeetsBounds, match=r"no architecture of tiny-lm is predicted .* latency_ms"
        ):
            simulated.run(store, tmp_path, job)
        ended = store.job(job.id)
        assert (ended.status, ended.stage) == (JobStatus.FAILED, StageName.PROFILE)
        assert "the nearest" in (ended.error or "")


def alone() -> JobSpec:
    space = {
        "name": "alone",
        "vocabulary": 256,
        "context": 32,
        "width": [16],
        "depth": [1],
        "layer": {"mixer": ["softmax"], "heads": [2], "ratio": [1]},
    }
    return simulated.spec("phone", space=space)


def test_a_space_of_one_architecture_has_a_front_of_it(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        job = simulated.run(store, tmp_path, alone())
        assert job.status is JobStatus.SUCCEEDED
        (point,) = store.points(job.id, Scope.ALL)
        assert point.on_front
        assert point.verified


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_scores_that_are_no_numbers_are_failures_and_no_points(tmp_path: Path, value: float) -> None:
    def quality(architecture: Architecture, split: Split) -> float:
        broken = architecture.layers[0].mixer == "linear"
        return value if broken else simulated.quality(architecture, split)

    with closing(open_store(tmp_path)) as store:
        job = simulated.run(store, tmp_path, simulated.spec("phone"), SimulatedComputeBackend(quality))
        assert job.status is JobStatus.SUCCEEDED
        points = store.points(job.id, Scope.ALL)
        assert points
        assert all(point.architecture.layers[0].mixer != "linear" for point in points)
        notes = [e.message for e in store.events(job.id) if e.kind is EventKind.NOTE]
        assert any("failed" in note for note in notes)


def test_fidelities_with_a_strategy_that_would_not_use_them_are_refused(tmp_path: Path) -> None:
    budget = simulated.spec("phone").budget.model_dump(mode="json")
    budget["search"] |= {"fidelities": [0.25, 1.0], "strategy": "evolution"}
    with nas.connect(home=tmp_path) as client, pytest.raises(InvalidSpec) as refused:
        client.submit(simulated.spec("phone", budget=budget))
    (problem,) = refused.value.problems
    assert problem.path == "budget.search.fidelities"
    assert "strategy evolution makes whole evaluations only; accepted: [1], or strategy default" in str(
        problem
    )
