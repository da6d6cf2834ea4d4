"""A whole job with finalists on Ray Tune, killed while they train: it goes on from their checkpoints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import nas
from nas.evaluation import Split
from nas.front import Scope
from nas.job import EventKind, JobStatus
from nas.spec import StageName
from nas.store import open_store
from nas.training.checkpoint import load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.alone]

TINY = Path(__file__).parent / "tiny.yaml"
RUN = """
import sys, nas
with nas.connect(home=sys.argv[1]) as client:
    for event in client.watch(client.resume(sys.argv[2]).id):
        pass
"""
STEPS = 1800


def start(home: Path, job_id: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", RUN, str(home), job_id], start_new_session=True)


def checkpoints(home: Path) -> dict[str, int]:
    """Steps that each finalist's checkpoint is of."""
    found = (home / "finalists").glob("*/checkpoint.safetensors")
    return {path.parent.name: load_checkpoint(path)[1]["steps"] for path in found}


def test_finalists_are_tuned_through_a_kill(tmp_path: Path) -> None:
    home, spec = tmp_path / "home", yaml.safe_load(TINY.read_text())
    spec["budget"]["train"]["steps"] = 100
    spec["budget"]["finalists"] = {"count": 4, "steps": STEPS, "batch": 4}
    with nas.connect(home=home) as client:
        job = client.submit(spec)
    process = start(home, job.id)
    deadline = time.monotonic() + 240
    while len(steps := checkpoints(home)) < 2 or max(steps.values()) < STEPS // 3:
        assert process.poll() is None, "the job ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed_at = checkpoints(home)
    store = open_store(home)
    assert store.job(job.id).stage is StageName.FINALISTS
    last = store.events(job.id, limit=100_000)[-1].sequence

    assert start(home, job.id).wait() == 0
    ended = store.job(job.id)
    assert ended.status is JobStatus.SUCCEEDED, ended.error
    finally_at = checkpoints(home)
    assert len(finally_at) == 4
    assert all(finally_at[weights] >= steps for weights, steps in killed_at.items())
    assert max(finally_at.values()) == STEPS
    assert min(finally_at.values()) < STEPS, "ASHA stops those that gain least"
    first = next(e for e in store.events(job.id, last, 100_000) if e.kind is EventKind.PROGRESS)
    assert first.stage is StageName.FINALISTS, "nothing before is done again"

    tuned = [point for point in store.points(job.id, Scope.FRONT) if point.tuned is not None]
    assert tuned
    for point in tuned:
        assert point.validation is not None
        assert point.tuned is not None
        assert point.tuned.validation < point.validation
        (test,) = store.evaluations(point.tuned.weights, Split.TEST)
        assert test.value == point.tuned.test
    store.close()
    assert not list((home / "finalists").rglob("*.pkl")), "nothing that Ray Tune pickles stays"
