"""Finalists on Ray Tune that are stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.controller.cluster import RayCluster
from nas.controller.tuning import tune_finalists
from nas.planning.plan import Plan, resolve
from nas.spec import load_job_spec
from nas.stages.backends import Finalist, FinalistProgress

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SPEC = {
    "space": {
        "name": "tiny",
        "context": 32,
        "width": [16],
        "depth": [1],
        "layer": {"mixer": ["decay"], "heads": [2], "ratio": [1]},
    },
    "task": {"name": "text", "evaluation_tokens": 1024, "evaluation_context": 32},
    "targets": [{}],
    "budget": {"finalists": {"start": "scratch", "steps": 100_000}},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    cluster = RayCluster(processors=1)
    yield cluster
    cluster.close()


def finalist(plan: Plan, folder: Path) -> Finalist:
    return Finalist(plan.space.first, 1.0, "weights", folder, 100_000, seed=0)


def test_one_that_is_stopped_before_its_first_rung_has_not_failed(
    cluster: RayCluster, tmp_path: Path
) -> None:
    plan, told = resolve(load_job_spec(SPEC)), list[FinalistProgress]()
    tune_finalists(
        cluster, plan, Path("none"), [finalist(plan, tmp_path)], told.append, stopped=lambda: bool(told)
    )
    assert told
    assert not any(message.ended for message in told)
    assert (tmp_path / "checkpoint.safetensors").is_file(), "it goes on from there"
