"""`nas show` of a job that has not ended."""

from __future__ import annotations

import json

import pytest

from nas.cli.demo import DEMO_FAST
from nas.job import Event, EventKind, JobStatus
from nas.spec import StageName, load_job_spec
from nas.store import open_store

WAITS = "waits for a worker that serves ghost/onnxruntime; connect one with: nas worker"


@pytest.mark.parametrize(("status", "shown"), [(JobStatus.QUEUED, True), (JobStatus.CANCELLED, False)])
def test_it_tells_why_it_waits(nas, tmp_path, status: JobStatus, shown: bool) -> None:
    store = open_store(tmp_path / "home")
    job = store.create_job(load_job_spec(DEMO_FAST)).id
    store.append_event(job, Event(EventKind.NOTE, StageName.PROFILE, "an earlier note"))
    store.append_event(job, Event(EventKind.NOTE, StageName.PROFILE, WAITS))
    store.set_job(job, status, None)
    store.close()
    assert (WAITS in nas("show", job).out) is shown
    assert json.loads(nas("show", job, "--json").out)["said"] == (WAITS if shown else None)
