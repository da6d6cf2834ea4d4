"""`kill -9` while a job that starts from a pretrained model measures, trains, scores, searches and heals: no
block is trained, scored or measured twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from killing import killed_at, start
from random_models import TEXT

import nas
from nas.evaluation import Split
from nas.job import Event, EventKind, JobStatus
from nas.planning.plan import resolve
from nas.spec import StageName
from nas.store import open_store

pytestmark = [pytest.mark.job, pytest.mark.slow, pytest.mark.timeout(3600)]


def in_the_middle(stage: StageName, words: str = "") -> Callable[[Event], bool]:
    """Of a stage: its progress says some of these words, or that something is done. Which number of several
    that come at once is told is chance."""
    return lambda event: (
        event.stage is stage
        and event.kind is EventKind.PROGRESS
        and (words in event.message if words else event.done > 0)
    )


KILLS = {
    "measuring": in_the_middle(StageName.PROFILE),
    "training the library": in_the_middle(StageName.TRAIN, "after"),  # behind what is nested
    "scoring": in_the_middle(StageName.SEARCH, "of 20 single replacements"),
    "searching": in_the_middle(StageName.SEARCH),
    "healing": in_the_middle(StageName.FINALISTS),
}


def test_a_job_that_is_killed_everywhere_does_nothing_twice(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    home = tmp_path / "home"
    spec = {
        "start": {"model": str(llama)},
        "space": {"mixer": ["keep", "linear+window:8", "window:8,2", "none"], "ratio": [1, 0.5, 0]},
        "task": {"name": "text", "path": [str(tmp_path / "text.txt")], "evaluation_tokens": 256},
        "targets": [{"tokens": 64}],
        "bounds": {"latency_ms": "95%"},
        "budget": {
            "calibrate": {"tokens": 256, "scored": 64},
            "library": {"steps": 400},
            "profile": {"measurements": 4, "minimum": 4, "holdout": 2, "tolerance": 0.5},
            "search": {"evaluations": 12, "batch": 4},
            "verify": {"rounds": 1},
            "heal": {"count": 1, "steps": 600},
        },
    }
    with nas.connect(home=home) as client:
        job = client.submit(spec)
    store, after = open_store(home), 0
    plan = resolve(job.spec)
    library = home / "supernets" / plan.supernet_digest / "library"
    done = []
    for there in KILLS.values():
        after = killed_at(store, home, job.id, after, there)
        done.append(_done(store, plan, library))
    assert start(home, job.id).wait() == 0
    assert store.job(job.id).status is JobStatus.SUCCEEDED, store.job(job.id).error
    now = _done(store, plan, library)
    for name, (measured, trained, scored) in zip(KILLS, done, strict=True):
        assert measured.items() <= now[0].items(), name
        assert trained.items() <= now[1].items(), name
        assert scored.items() <= now[2].items(), name
    assert 0 < len(done[1][1]) < 4 == len(now[1])
    assert 0 < len(done[2][2]) < 20 <= len(now[2])


def _done(store, plan, library: Path):
    """What is measured, trained and scored, each with when or how long: done again it would not be the
    same."""
    files = library.iterdir() if library.is_dir() else ()
    return (
        {m.digest: (m.reading, m.measured_at) for m in store.measurements(plan.targets[0])},
        {file.name: file.stat().st_mtime_ns for file in files if file.suffix == ".safetensors"},
        {
            (e.split, e.digest): e
            for split in (Split.CALIBRATION, Split.VALIDATION)
            for e in store.evaluations(plan.supernet_digest, split)
        },
    )
