"""A job whose process is gone is not shown as running."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from nas.job import JobStatus
from nas.service.running.embedded import EmbeddedService
from nas.service.running.shared import SharedService
from nas.spec import StageName, load_job_spec
from nas.store import open_store

SPEC = {"space": "hybrid-lm", "task": "text", "targets": [{"device": "laptop"}]}


@pytest.mark.parametrize(
    ("kind", "shown"), [(EmbeddedService, JobStatus.INTERRUPTED), (SharedService, JobStatus.QUEUED)]
)
def test_a_job_without_a_process_waits(tmp_path: Path, kind: type[EmbeddedService], shown: JobStatus) -> None:
    """For its user, or on a shared service for any process."""
    with closing(open_store(tmp_path)) as store:
        job = store.create_job(load_job_spec(SPEC))
        store.claim(job.id, "a process", 60.0)
        store.set_job(job.id, JobStatus.RUNNING, StageName.TRAIN)
        with closing(kind(tmp_path)) as service:
            assert service.job(job.id).status is JobStatus.RUNNING
            store.release(job.id, "a process")
            told = [service.job(job.id), service.job("latest"), *service.jobs()]
    assert {found.status for found in told} == {shown}
