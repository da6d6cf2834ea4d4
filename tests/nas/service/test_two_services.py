"""Two real services on one real PostgreSQL: jobs are shared out, and each is run by one of them; a job that
is cancelled stops soon, whatever it is doing."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cluster import running, until

from nas.job import EventKind, JobStatus
from nas.spec import StageName
from nas.store import open_store

pytestmark = pytest.mark.alone

JOBS = 6
PROMPT_SECONDS = 5.0
"""Within which a job that is cancelled has stopped."""


def spec(name: str, tokens: int) -> dict[str, Any]:
    """No stage of it ends soon by itself."""
    return {
        "name": name,
        "space": {
            "name": "services",
            "context": 32,
            "width": [16],
            "depth": [1, 2, 3, 4],
            "layer": {"mixer": ["none", "softmax", "linear", "window:8"], "heads": [2], "ratio": [1, 2]},
        },
        "task": {"name": "recall", "evaluation_context": 64, "evaluation_tokens": 8192, "pairs": 4},
        "targets": [{"device": "local-cpu", "tokens": tokens}],
        "budget": {
            "profile": {"measurements": 60, "minimum": 60, "holdout": 4, "tolerance": 1e-6},
            "train": {"steps": 100_000, "batch": 4},
            "search": {"evaluations": 2000, "batch": 4, "strategy": "random"},
        },
    }


@pytest.mark.slow
def test_no_two_services_run_one_job(tmp_path: Path) -> None:
    with running(tmp_path) as (cluster, postgres), cluster.client(0) as one, cluster.client(1) as other:
        asked = []
        for number in range(JOBS):
            short = spec("shared", 32 + number) | {"until": "profile"}
            short["budget"] = {"profile": {"measurements": 12, "minimum": 12, "holdout": 4}}
            asked.append((one, other)[number % 2].submit(short).id)
        store = open_store(postgres.address)
        runners: dict[str, set[str]] = {job: set() for job in asked}

        def over() -> bool:
            for job in asked:
                if (owner := store.lease_owner(job)) is not None:
                    runners[job].add("/".join(owner.split("/")[:2]))  # host and process
            return all(store.job(job).status is JobStatus.SUCCEEDED for job in asked)

        until(over, 200, f"every job has succeeded\n{cluster.log()}")
        assert all(len(owners) == 1 for owners in runners.values()), runners
        assert len(set.union(*runners.values())) == 2, "both services ran some"
        for job in asked:
            stages = Counter(e.message for e in store.events(job, limit=10_000) if e.kind is EventKind.STAGE)
            assert stages == {"started": 1, "ended": 1}
        for target in store.targets():
            digests = [measurement.digest for measurement in store.measurements(target)]
            assert len(digests) == len(set(digests))
        store.close()


@pytest.mark.slow
@pytest.mark.parametrize("stage", [StageName.PROFILE, StageName.TRAIN, StageName.SEARCH, StageName.VERIFY])
def test_a_cancelled_job_stops_soon(tmp_path: Path, stage: StageName) -> None:
    long = spec("cancelled", 32)
    before = list(StageName)[: list(StageName).index(stage)]
    quick = {
        StageName.PROFILE: {"measurements": 8, "minimum": 4, "holdout": 4},
        StageName.TRAIN: {"steps": 50, "batch": 4},
        StageName.SEARCH: {"evaluations": 24, "batch": 4, "strategy": "random"},
    }
    long["budget"] |= {str(name): quick[name] for name in before}
    long["budget"]["verify"] = {"rounds": 100, "tolerance": 1e-9, "evaluations": 8}
    with running(tmp_path, services=1) as (cluster, _), cluster.client() as client:
        job = client.submit(long)
        for event in client.watch(job.id):
            if event.stage is stage and event.kind is EventKind.PROGRESS:
                break
        began = time.monotonic()
        client.cancel(job.id)
        until(lambda: client.job(job.id).status is JobStatus.CANCELLED, 60, "the job is cancelled")
        assert time.monotonic() - began <= PROMPT_SECONDS
        told = [e for e in client.events(job.id).events if e.kind is EventKind.STATUS]
        assert [e.message for e in told][-1] == "cancelled"
