"""Running a job in the foreground: its progress on standard error until it ends, then its answer."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nas.cli.output import error_console, print_json, result_console
from nas.cli.progress import open_view
from nas.errors import JobInterrupted
from nas.job import JobStatus

if TYPE_CHECKING:
    from nas.client import Client
    from nas.job import Job

__all__ = ["run_and_answer", "run_to_end"]


def run_to_end(client: Client, job_id: str) -> Job:
    """Start a job, or go on with it, and show its progress until it ends.

    Ctrl-C stops it at its last completed unit of work.

    Raises:
        JobInterrupted: it was stopped, here or elsewhere.
        NasError: what a stage of it failed with.
    """
    job = client.job(job_id)
    try:
        client.resume(job.id)
        with open_view(error_console(), job) as view:
            for event in client.watch(job.id):
                view.show(event)
    except KeyboardInterrupt:
        with suppress(OSError):  # of a terminal that has gone
            error_console().print(
                f"stopping {job.id} at its last completed unit of work… Ctrl-C again ends this at once; "
                f"go on with: nas resume {job.id}",
                soft_wrap=True,
            )
        client.interrupt(job.id)
    job = client.job(job.id)
    if job.status is JobStatus.SUCCEEDED:
        return job
    if job.status is JobStatus.FAILED:
        raise job.failure()
    if job.status is JobStatus.CANCELLED:
        raise JobInterrupted(f"job {job.id} was cancelled")
    raise JobInterrupted(f"job {job.id} is {job.status}; go on with: nas resume {job.id}")


def run_and_answer(client: Client, job_id: str, *, as_json: bool) -> None:
    """Run a job to its end, then print its front; of one that does not search, its targets' predictors."""
    from nas.cli.listings import profiles_table
    from nas.cli.tables import print_front
    from nas.front import Scope

    job = run_to_end(client, job_id)
    if not job.spec.searches:
        profiles = client.profile(job.id)
        if as_json:
            print_json({"job": job.id, "profiles": [found.to_dict() for found in profiles]})
        else:
            result_console().print(profiles_table(profiles))
    elif as_json:
        print_json(client.front(job.id, Scope.ALL).to_dict())
    else:
        print_front(result_console(), client.front(job.id))
