"""A job in the foreground: its end, its failure, and Ctrl-C."""

from collections.abc import Iterator

import pytest

from nas.cli.running import run_to_end
from nas.errors import JobFailed, JobInterrupted, NoWorker
from nas.job import Event, EventKind, Job, JobStatus
from nas.spec import StageName, load_job_spec

SPEC = load_job_spec({"space": "hybrid-lm", "task": "text", "targets": [{}]})


class Script:
    """The few calls that a run makes, answering by a script; the real service needs minutes for them."""

    def __init__(self, end: JobStatus, raises: BaseException | None = None, error: str | None = None) -> None:
        self.end, self.raises, self.error = end, raises, error
        self.interrupted: list[str] = []

    def resume(self, job_id: str) -> Job:
        return self.job(job_id)

    def job(self, job_id: str) -> Job:
        return Job(job_id, SPEC, self.end, None, self.error, 0.0, 0.0)

    def watch(self, job_id: str) -> Iterator[Event]:
        yield Event(EventKind.STAGE, StageName.PROFILE, "started", sequence=1, time=1.0)
        if self.raises is not None:
            raise self.raises
        yield Event(EventKind.STAGE, StageName.PROFILE, "ended", sequence=2, time=1.0)

    def interrupt(self, job_id: str) -> Job:
        self.interrupted.append(job_id)
        return self.job(job_id)


def test_progress_goes_to_standard_error(capsys):
    job = run_to_end(Script(JobStatus.SUCCEEDED), "demo-1")
    captured = capsys.readouterr()
    assert job.status is JobStatus.SUCCEEDED
    assert captured.out == ""
    assert captured.err.splitlines() == ["profile: started", "profile: ended after 0:00"]


def test_control_c_stops_the_job_and_says_how_to_go_on():
    script = Script(JobStatus.INTERRUPTED, KeyboardInterrupt())
    with pytest.raises(JobInterrupted, match="nas resume demo-1") as caught:
        run_to_end(script, "demo-1")
    assert script.interrupted == ["demo-1"]
    assert caught.value.exit_code == 130


def test_control_c_while_a_job_starts_stops_it_as_well():
    class Slow(Script):
        def resume(self, job_id: str) -> Job:
            raise KeyboardInterrupt

    script = Slow(JobStatus.INTERRUPTED)
    with pytest.raises(JobInterrupted, match="nas resume demo-1"):
        run_to_end(script, "demo-1")
    assert script.interrupted == ["demo-1"]


def test_a_job_that_ended_just_before_control_c_has_succeeded():
    assert (
        run_to_end(Script(JobStatus.SUCCEEDED, KeyboardInterrupt()), "demo-1").status is JobStatus.SUCCEEDED
    )


def test_the_jobs_own_error_is_kept():
    with pytest.raises(NoWorker, match="nobody serves it"):
        run_to_end(Script(JobStatus.FAILED, NoWorker("nobody serves it")), "demo-1")


def test_a_failure_that_only_the_store_knows_is_told():
    with pytest.raises(JobFailed, match="the disk is full"):
        run_to_end(Script(JobStatus.FAILED, error="the disk is full"), "demo-1")


def test_a_job_cancelled_elsewhere_is_not_offered_to_be_resumed():
    with pytest.raises(JobInterrupted, match="was cancelled") as caught:
        run_to_end(Script(JobStatus.CANCELLED), "demo-1")
    assert "resume" not in str(caught.value)
