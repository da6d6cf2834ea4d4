"""A job that ends before its last stage, with a real worker process: no torch training, no search."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import nas
from nas.job import EventKind, JobStatus
from nas.spec import StageName

pytestmark = pytest.mark.job

TINY = Path(__file__).parents[1] / "jobs" / "tiny.yaml"


def test_a_job_ends_after_the_stage_that_it_names(tmp_path: Path) -> None:
    spec = {**yaml.safe_load(TINY.read_text()), "until": "profile"}
    spec["budget"]["profile"] = {"measurements": 4, "minimum": 4, "holdout": 3, "tolerance": 1e-9}
    with nas.connect(home=tmp_path) as client:
        job = client.submit(spec)
        client.resume(job.id)
        events = list(client.watch(job.id))
        ended = client.job(job.id)
        assert (ended.status, ended.stage) == (JobStatus.SUCCEEDED, None), ended.error
        stages = [(e.stage, e.message) for e in events if e.kind is EventKind.STAGE]
        assert stages == [(StageName.PROFILE, "started"), (StageName.PROFILE, "ended")]
        (target,) = client.targets()
        measured = client.measurements(target)
        assert len(measured) == 7
        assert all(architecture.digest == found.digest for architecture, found in measured)
        client.resume(job.id)
        assert client.job(job.id).status is JobStatus.SUCCEEDED
