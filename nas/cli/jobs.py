"""Submitting jobs, going on with them, stopping them, and seeing where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Job, Json, RayAddress, Shared, parse_targets
from nas.cli.output import error_console, print_json, result_console
from nas.cli.running import run_and_answer
from nas.cli.settings import open_client
from nas.errors import NoSuchPoint

if TYPE_CHECKING:
    from nas.client import Client
    from nas.job import Job as StoredJob

__all__ = ["add_target", "cancel", "list_jobs", "resume", "search", "show"]


def search(
    context: typer.Context,
    spec: Annotated[
        Path, typer.Argument(metavar="JOB.yaml", help="The job file; docs/job-file.md describes it.")
    ],
    ray_address: RayAddress = None,
    shared: Shared = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="A first look: small budgets, whatever the file says.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a job to its end and print its front.

    The whole file is checked before anything is started or written, and every mistake is named at once.
    Ctrl-C stops the job; [bold]nas resume[/bold] goes on with it.

    [dim]nas search job.yaml[/dim]
    [dim]nas search job.yaml --fast[/dim]
    [dim]nas search job.yaml --json > front.json[/dim]
    [dim]nas search job.yaml --ray-address ray://head.example.org:10001[/dim]
    """
    with open_client(context, ray_address) as client:
        job = client.submit(spec, shared=shared, fast=fast)
        error_console().print(f"job [bold]{job.id}[/]")
        run_and_answer(client, job.id, as_json=json)


def resume(context: typer.Context, job: Job, ray_address: RayAddress = None, json: Json = False) -> None:
    """Go on with a job from its last completed unit of work, and print its front.

    A job that has succeeded is answered from the store.

    [dim]nas resume latest[/dim]
    """
    with open_client(context, ray_address) as client:
        run_and_answer(client, client.job(job).id, as_json=json)


def add_target(
    context: typer.Context,
    job: Job,
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="DEVICE/RUNTIME/DTYPE/THREADSt/PHASE/bBATCH/nTOKENS."),
    ],
    json: Json = False,
) -> None:
    """Add a target to a job that has succeeded, and print its new front.

    The target is profiled and the front is measured on it. Nothing is trained, and no candidate is
    evaluated again.

    [dim]nas add-target latest lab-phone/onnxruntime/fp32/1t/prefill/b1/n1024[/dim]
    """
    (wanted,) = parse_targets("TARGET", [target])
    with open_client(context) as client:
        run_and_answer(client, client.add_target(job, wanted).id, as_json=json)


def cancel(context: typer.Context, job: Job, json: Json = False) -> None:
    """Stop a job for good, whichever process runs it. Its measurements are kept for later jobs.

    [dim]nas cancel demo-3f9a1c[/dim]
    """
    with open_client(context) as client:
        cancelled = client.cancel(job)
    if json:
        print_json(_summary(cancelled))
    else:
        result_console().print(f"job {cancelled.id} is {cancelled.status}")


def list_jobs(context: typer.Context, json: Json = False) -> None:
    """List jobs, newest first.

    [dim]nas jobs[/dim]
    """
    with open_client(context) as client:
        found = client.jobs()
    if json:
        print_json([_summary(job) for job in found])
        return
    from nas.cli.listings import jobs_table

    if found:
        result_console().print(jobs_table(found))
    else:
        result_console().print("No jobs yet: start with [bold]nas demo[/] or [bold]nas search JOB.yaml[/].")


def show(context: typer.Context, job: Job, json: Json = False) -> None:
    """Show a job: its status, its spec, what it has found, and what explains its front.

    [dim]nas show latest[/dim]
    [dim]nas show latest --json | jq .explanation.importance[/dim]
    """
    from nas.front import Scope

    with open_client(context) as client:
        found = client.job(job)
        profiles = client.profile(found.id)
        front = client.front(found.id, Scope.FRONT) if found.spec.searches else None
        explanation = explanation_of(client, found.id)
        said = last_said(client, found)
    if json:
        answer = {**_summary(found), "said": said, "spec": found.spec.model_dump(mode="json")}
        answer["profiles"] = [profile.to_dict() for profile in profiles]
        if front is not None:
            answer["points"] = {"evaluated": front.evaluated, "on_front": len(front.points)}
            answer["hypervolume"] = front.to_dict()["hypervolume"]
            answer["explanation"] = explanation
        print_json(answer)
        return
    from nas.cli.listings import print_job

    print_job(result_console(), found, profiles, front, said)
    if explanation is not None:
        from nas.cli.tables import print_explanation

        print_explanation(result_console(), explanation)


def last_said(client: Client, job: StoredJob) -> str | None:
    """What a job that has not ended said last: why it waits, or how far it is."""
    from nas.job import JobStatus

    if job.status not in (JobStatus.QUEUED, JobStatus.RUNNING):
        return None
    said, after = None, 0
    while events := client.events(job.id, after).events:
        after = events[-1].sequence
        said = next((event.message for event in reversed(events) if event.message), said)
    return said


def explanation_of(client: Client, job_id: str) -> dict[str, Any] | None:
    """Why the front looks as it does; None where too little is known yet."""
    try:
        return client.explain(job_id)
    except NoSuchPoint:
        return None


def _summary(job: StoredJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": str(job.status),
        "stage": None if job.stage is None else str(job.stage),
        "error": job.error,
        "owner": job.owner,
        "group": job.group,
        "shared": job.shared,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
    }
