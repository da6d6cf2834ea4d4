"""A whole job with finalists on Ray Tune, killed while they train: it goes on from their checkpoints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import nas
from nas.evaluation import Split
from nas.front import Scope
from nas.job import Event, EventKind, JobStatus
from nas.point import Fidelity
from nas.spec import StageName
from nas.store import open_store
from nas.training.checkpoint import load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]

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


@dataclass(frozen=True)
class Killed:
    """A job that was killed as its finalists trained, and has gone on to its end.

    Attributes:
        steps: that each checkpoint was of when it was killed.
        before: its events until then.
        after: those since.
    """

    job: str
    steps: dict[str, int]
    before: list[Event]
    after: list[Event]


def killed_and_resumed(home: Path, finalists: dict[str, Any], steps: int) -> Killed:
    """Kill a job once two finalists have checkpoints, one of them of so many steps."""
    spec = yaml.safe_load(TINY.read_text())
    spec["budget"]["train"]["steps"] = 100
    spec["budget"]["finalists"] = finalists
    with nas.connect(home=home) as client:
        job = client.submit(spec)
    process = start(home, job.id)
    deadline = time.monotonic() + 600
    while len(found := checkpoints(home)) < 2 or max(found.values()) < steps:
        assert process.poll() is None, "the job ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed_at = checkpoints(home)
    with closing(open_store(home)) as store:
        assert store.job(job.id).stage is StageName.FINALISTS
        before = store.events(job.id, limit=100_000)
        assert start(home, job.id).wait() == 0
        ended = store.job(job.id)
        assert ended.status is JobStatus.SUCCEEDED, ended.error
        after = store.events(job.id, before[-1].sequence, 100_000)
    first = next(event for event in after if event.kind is EventKind.PROGRESS)
    assert first.stage is StageName.FINALISTS, "nothing before is done again"
    assert not list((home / "finalists").rglob("*.pkl")), "nothing that Ray Tune pickles stays"
    return Killed(job.id, killed_at, list(before), list(after))


def test_finalists_are_tuned_through_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    killed = killed_and_resumed(home, {"count": 4, "steps": STEPS, "batch": 4}, STEPS // 3)
    finally_at = checkpoints(home)
    assert len(finally_at) == 4
    assert all(finally_at[weights] >= steps for weights, steps in killed.steps.items())
    assert max(finally_at.values()) == STEPS
    assert min(finally_at.values()) < STEPS, "ASHA stops those that gain least"
    with closing(open_store(home)) as store:
        tuned = [point for point in store.points(killed.job, Scope.FRONT) if point.tuned is not None]
        assert tuned
        for point in tuned:
            assert point.validation is not None
            assert point.tuned is not None
            assert point.tuned.validation < point.validation
            (test,) = store.evaluations(point.tuned.weights, Split.TEST)
            assert test.value == point.tuned.test


def test_the_rung_of_fine_tunings_goes_on_through_a_kill(tmp_path: Path) -> None:
    home, steps = tmp_path / "home", 900
    finalists = {
        "start": "scratch",
        "count": 2,
        "presets": 2,
        "batch": 4,
        "steps": 1000,
        "tuning_steps": steps,
    }
    killed = killed_and_resumed(home, finalists, steps // 3)
    first = next(event for event in killed.after if event.kind is EventKind.PROGRESS)
    assert first.message == "fine-tuning"
    assert first.done >= min(killed.steps.values()), "they go on from their checkpoints"
    told = [event.message for event in killed.before + killed.after if " fine-tuned: " in event.message]
    assert len(told) >= len(killed.steps)
    with closing(open_store(home)) as store:
        points = store.points(killed.job)
    tuned = [point.digest for point in points if Fidelity.TUNED in point.fidelities]
    assert sorted(message.split()[0] for message in told) == sorted(digest[:8] for digest in tuned), (
        "each once"
    )
    assert len([point for point in points if Fidelity.ALONE in point.fidelities]) == 4
    assert not killed.steps.keys() & checkpoints(home).keys(), "weights of that rung do not stay"
